"""Hands of anomeric carbons where a link of the library says another than the sugar's own dictionary.

The links ALPHA1-6 and the like give the hand of C1 as it is in D-sugars. Fucose and rhamnose are L-sugars: their α is
the other hand, and a link followed to the letter would turn α-L-fucose into β-L-fucose, which has a name of its own
(FUL). A component's name says its anomer (NAG, BMA, MAN, FUC …), so that its dictionary decides.
"""

from __future__ import annotations

import gemmi

Sign = gemmi.ChiralityType


def anomer_signs(topology: gemmi.Topo, library: gemmi.MonLib) -> dict[int, Sign]:
    """Signs of the links' chiral centres that the dictionaries of their residues contradict.

    Parameters
    ----------
    topology : of a model with its links.
    library : dictionaries of its components.

    Returns
    -------
    The sign by the dictionary, by index into `topology.chirs`.
    """
    signs = {}
    for link in topology.extras:
        for rule in link.link_rules:
            if rule.rkind != gemmi.RKind.Chirality:
                continue
            chirality = topology.chirs[rule.index]
            centre = chirality.atoms[0]
            residue = next((r for r in (link.res1, link.res2) if any(a.serial == centre.serial for a in r)), None)
            if residue is None or residue.name not in library.monomers:
                continue
            component = library.monomers[residue.name]
            own = {a.serial for a in residue}
            around = [a.name if a.serial in own else "" for a in chirality.atoms[1:]]
            sign = _sign_by_component(component, centre.name, around)
            if sign is not None and sign != chirality.restr.sign:
                signs[rule.index] = sign
    return signs


def _sign_by_component(component: gemmi.ChemComp, centre: str, around: list[str]) -> Sign | None:
    """Sign of a centre whose neighbours come in the order given, "" being the one in place of what has left.

    None where the dictionary does not say, or not one but several neighbours are others.
    """
    for restraint in component.rt.chirs:
        if restraint.id_ctr.atom != centre or restraint.sign == Sign.Both:
            continue
        names = [restraint.id1.atom, restraint.id2.atom, restraint.id3.atom]
        left = [name for name in names if name not in around]
        if len(left) != 1 or around.count("") != 1:
            return None
        order = [names.index(name or left[0]) for name in around]
        is_even = order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])
        return restraint.sign if is_even else _opposite(restraint.sign)
    return None


def _opposite(sign: Sign) -> Sign:
    return Sign.Negative if sign == Sign.Positive else Sign.Positive
