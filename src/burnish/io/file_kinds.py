"""What a file holds that is not what was asked for: two files given in the wrong order are told from a damaged one."""

from __future__ import annotations

HEAD = 1 << 16  # bytes that are looked at


def found_kind(content: bytes) -> str | None:
    """What a file with this content holds, in a few words for a message; None when it is not recognised.

    >>> found_kind(b"MTZ \\x15"), found_kind(b"CRYST1   30.5")
    ('reflections (MTZ)', 'a model (PDB)')
    """
    if content[:3] == b"MTZ":
        return "reflections (MTZ)"
    if content[208:212] == b"MAP ":
        return "a map (MRC)"
    lines = content[:HEAD].lstrip().splitlines()
    if any(line.startswith((b"ATOM  ", b"HETATM", b"CRYST1")) for line in lines):
        return "a model (mmCIF)" if b"_atom_site." in content else "a model (PDB)"
    if b"_atom_site.Cartn_x" in content:
        return "a model (mmCIF)"
    if b"_refln.index_h" in content:
        return "structure factors (mmCIF)"
    if b"_chem_comp_atom." in content:
        return "a restraint dictionary (CIF)"
    if b"_rln" in content[:HEAD]:
        return "a STAR file of RELION"
    return None


def in_place_of(content: bytes, *expected: str) -> str:
    """Words for a message: what was found and expected, with the order of the arguments as the likely cause.

    Parameters
    ----------
    content : of the file.
    expected : how the kinds that would do begin, of those that `found_kind` knows.

    Returns
    -------
    Words, empty when the file is one of these kinds or not recognised.
    """
    kind = found_kind(content)
    if kind is None or kind.startswith(expected):
        return ""
    if kind.startswith("a map") and "reflections" in expected:
        remedy = "give maps with --map, or --half1 and --half2"
    else:
        remedy = "are the files in the order of the command's help?"
    return f"holds {kind}, expected {' or '.join(expected)}; {remedy}"
