"""Links between components and the modifications that they bring.

Sources: peptide links Engh & Huber (2001), International Tables F 18.3; nucleic acids Parkinson et al. (1996), Acta Cryst.
D52, 57; glycosidic links Jeffrey (1990), Acta Cryst. B46, 89; metal clusters as in `others`. In the rows, an atom is
written with the number of its side: 1/C is atom C of the first component.
"""

from __future__ import annotations

from dataclasses import dataclass

from dictionary.amino_acids import BOND_SIGMA_FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link: sides are (component or ".", modification or ".", group or "."); rows as in the tables of components."""

    name: str
    sides: tuple[tuple[str, str, str], tuple[str, str, str]]
    bonds: str = ""
    angles: str = ""
    torsions: str = ""
    chirals: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """What a link changes in a component: atoms deleted, atoms retyped (name, element, type, charge), new angles."""

    name: str
    component: str
    group: str
    delete: str = ""
    retype: tuple[tuple[str, str, str, int], ...] = ()
    bonds: str = ""
    angles: str = ""


PLANE_OF_C = "1/CA 1/C 1/O 2/N"


def _peptide(name: str, mods: tuple[str, str], group: str, third: str, values: str, omega: int) -> Link:
    bond, ca_c_n, o_c_n, c_n_ca, c_n_x = values.split(";")
    length, spread = bond.split()
    return Link(
        name=name,
        sides=((".", mods[0], "peptide"), (".", mods[1], group)),
        bonds=f"1/C-2/N {length} {BOND_SIGMA_FACTOR * float(spread):.4f}",
        angles=f"1/CA-1/C-2/N {ca_c_n}; 1/O-1/C-2/N {o_c_n}; 1/C-2/N-2/CA {c_n_ca}; 1/C-2/N-2/{third} {c_n_x}",
        torsions=f"psi 1/N-1/CA-1/C-2/N 160 30 2; omega 1/CA-1/C-2/N-2/CA {omega} 5 0; phi 1/C-2/N-2/CA-2/C 60 20 3",
        planes=(PLANE_OF_C, f"1/C 2/N 2/CA 2/{third}"),
    )


def _glycosidic(name: str, acceptor: str, carbon: str, sign: str) -> Link:
    beta = name.startswith("BETA")
    o_c1_o5, bond = (107.5, 1.389) if beta else (111.6, 1.405)
    return Link(
        name=name,
        sides=((".", f"DEL-H{acceptor}", "pyranose"), (".", "DEL-O1", "pyranose")),
        bonds=f"1/{acceptor}-2/C1 {bond} .015",
        angles=f"1/{carbon}-1/{acceptor}-2/C1 115.5 2.5; 1/{acceptor}-2/C1-2/C2 108.3 2.5;"
        f" 1/{acceptor}-2/C1-2/O5 {o_c1_o5} 2.5; 1/{acceptor}-2/C1-2/H1 109.3 3.0",
        torsions=f"phi 2/O5-2/C1-1/{acceptor}-1/{carbon} 60 20 3",
        chirals=(f"2/C1 1/{acceptor} 2/O5 2/C2 {sign}",),
    )


def _to_side_chain(name: str, component: str, mod: str, atom: str, carbon: str, values: tuple[float, float]) -> Link:
    bond, angle = values
    flat = component == "ASN"
    return Link(
        name=name,
        sides=((".", "DEL-O1", "pyranose"), (component, mod, "peptide")),
        bonds=f"1/C1-2/{atom} {bond} .015",
        angles=f"1/C2-1/C1-2/{atom} {110.6 if flat else 108.3} 2.5; 1/O5-1/C1-2/{atom} {106.8 if flat else 109.5} 2.5;"
        f" 2/{atom}-1/C1-1/H1 109.3 3.0; 2/{carbon}-2/{atom}-1/C1 {angle} 2.0"
        + ("; 1/C1-2/ND2-2/HD21 118.0 3.0" * flat),
        torsions="sp2_sp2_1 2/CB-2/CG-2/ND2-1/C1 180 5 2" if flat else f"phi 1/O5-1/C1-2/{atom}-2/{carbon} 60 20 3",
        # N-glycans are β in all of biology; O-glycans are found in both hands
        chirals=("1/C1 2/ND2 1/O5 1/C2 positive",) if flat else (f"1/C1 2/{atom} 1/O5 1/C2 both",),
        planes=("1/C1 2/CG 2/HD21 2/ND2",) if flat else (),
    )


def _cluster(name: str, cluster: str, iron: str, sulphurs: str) -> Link:
    angles = "; ".join(f"1/{s}-1/{iron}-2/SG 114.0 4.0" for s in sulphurs.split())
    return Link(
        name=name,
        sides=((cluster, ".", "non-polymer"), ("CYS", "DEL-HG", "peptide")),
        bonds=f"1/{iron}-2/SG 2.27 .03",
        angles=f"1/{iron}-2/SG-2/CB 109.0 5.0; {angles}",
    )


def _metal(
    name: str, metal: str, component: str, mod: str, atom: str, values: tuple[float, float], around: str
) -> Link:
    length, sigma = values
    angles = "; ".join(f"1/{metal}-2/{atom}-2/{row}" for row in around.split("; "))
    return Link(
        name=name,
        sides=((metal, ".", "non-polymer"), (component, mod, "peptide")),
        bonds=f"1/{metal}-2/{atom} {length} {sigma}",
        angles=angles,
    )


# E&H 2001: C-N; CA-C-N; O-C-N; C-N-CA; C-N-H or C-N-CD. The angle to H is what the other two leave.
_GENERAL = "1.336 .023;117.2 2.2;122.7 1.6;121.7 2.5;119.7 3.0"
_PROLINE_TRANS = "1.338 .019;117.1 2.8;121.1 1.9;119.3 1.5;128.4 2.1"
_PROLINE_CIS = "1.338 .019;117.1 2.8;121.1 1.9;127.0 2.4;120.6 2.2"
_METHYL = "1.346 .020;117.1 2.5;121.1 1.9;120.0 2.5;123.0 2.5"

LINKS = [
    Link(name="gap", sides=((".", ".", "."), (".", ".", "."))),
    _peptide("TRANS", ("DEL-OXT", "DEL-HN1"), "peptide", "H", _GENERAL, 180),
    _peptide("CIS", ("DEL-OXT", "DEL-HN1"), "peptide", "H", _GENERAL, 0),
    _peptide("PTRANS", ("DEL-OXT", "DEL-HNP"), "P-peptide", "CD", _PROLINE_TRANS, 180),
    _peptide("PCIS", ("DEL-OXT", "DEL-HNP"), "P-peptide", "CD", _PROLINE_CIS, 0),
    _peptide("NMTRANS", ("DEL-OXT", "DEL-NMH"), "M-peptide", "CN", _METHYL, 180),
    _peptide("NMCIS", ("DEL-OXT", "DEL-NMH"), "M-peptide", "CN", _METHYL, 0),
    Link(
        name="ACE_C-N",
        sides=(("ACE", "ACE-C", "non-polymer"), (".", "DEL-HN1", "peptide")),
        bonds="1/C-2/N 1.336 .0138",
        angles="1/CH3-1/C-2/N 116.2 2.0; 1/O-1/C-2/N 122.7 1.6; 1/C-2/N-2/CA 121.7 2.5; 1/C-2/N-2/H 119.7 3.0",
        torsions="omega 1/CH3-1/C-2/N-2/CA 180 5 0",
        planes=("1/CH3 1/C 1/O 2/N", "1/C 2/N 2/CA 2/H"),
    ),
    Link(
        name="pep-NH2",
        sides=((".", "DEL-OXT", "peptide"), ("NH2", "NH2-N", "non-polymer")),
        bonds="1/C-2/N 1.324 .015",
        angles="1/CA-1/C-2/N 116.7 2.4; 1/O-1/C-2/N 122.7 1.6",
        planes=("1/CA 1/C 1/O 2/N",),
    ),
    Link(
        name="disulf",
        sides=(("CYS", "DEL-HG", "peptide"), ("CYS", "DEL-HG", "peptide")),
        bonds="1/SG-2/SG 2.033 .016",
        angles="1/CB-1/SG-2/SG 104.3 2.3; 2/CB-2/SG-1/SG 104.3 2.3",
        torsions="ss 1/CB-1/SG-2/SG-2/CB 90 10 2",
    ),
    Link(
        name="p",
        sides=((".", "DEL_HO3p", "DNA/RNA"), (".", "DEL_OP3", "DNA/RNA")),
        bonds="1/O3'-2/P 1.607 .012",
        angles="1/C3'-1/O3'-2/P 119.7 1.2; 1/O3'-2/P-2/OP1 107.8 3.2; 1/O3'-2/P-2/OP2 107.8 3.2; 1/O3'-2/P-2/O5' 104.0 1.9",
        torsions="zeta 1/C3'-1/O3'-2/P-2/O5' 60 10 3; epsilon 1/C4'-1/C3'-1/O3'-2/P 180 10 3; alpha 1/O3'-2/P-2/O5'-2/C5' 180"
        " 10 3",
        chirals=("2/P 2/O5' 1/O3' 2/OP2 both",),
    ),
    *(
        _glycosidic(f"{hand}1-{number}", f"O{number}", f"C{number}", sign)
        for hand, sign in (("ALPHA", "negative"), ("BETA", "positive"))
        for number in (2, 3, 4, 6)
    ),
    # sialic acid on a galactose: C2 is the anomeric carbon
    *(
        Link(
            name=f"ALPHA2-{number}",
            sides=((".", f"DEL-HO{number}", "pyranose"), ("SIA", "DEL-O2", "ketopyranose")),
            bonds=f"1/O{number}-2/C2 1.415 .020",
            angles=f"1/C{number}-1/O{number}-2/C2 117.0 3.0; 1/O{number}-2/C2-2/C1 109.0 3.0;"
            f" 1/O{number}-2/C2-2/O6 110.5 3.0; 1/O{number}-2/C2-2/C3 108.0 3.0",
        )
        for number in (3, 6)
    ),
    _to_side_chain("pyr-ASN", "ASN", "DEL-HD22", "ND2", "CG", (1.432, 122.6)),
    _to_side_chain("pyr-SER", "SER", "DEL-HOG", "OG", "CB", (1.405, 114.5)),
    _to_side_chain("pyr-THR", "THR", "DEL-HG1", "OG1", "CB", (1.405, 115.5)),
    *(
        _cluster(f"SF4{number}-CYS", "SF4", f"FE{number}", " ".join(f"S{k}" for k in range(1, 5) if k != number))
        for number in range(1, 5)
    ),
    _cluster("FES1-CYS", "FES", "FE1", "S1 S2"),
    _cluster("FES2-CYS", "FES", "FE2", "S1 S2"),
    # axial histidine of haem, low and high spin: Scheidt & Reed (1981), Chem. Rev. 81, 543-555
    Link(
        name="HEM-HISNE",
        sides=(("HEM", ".", "non-polymer"), ("HIS", "DEL-HE2", "peptide")),
        bonds="1/FE-2/NE2 2.08 .06",
        angles="1/FE-2/NE2-2/CD2 126.5 5.0; 1/FE-2/NE2-2/CE1 126.5 5.0; "
        + "; ".join(f"1/N{pyrrole}-1/FE-2/NE2 90.0 4.0" for pyrrole in "ABCD"),
    ),
    # Harding (2006), Acta Cryst. D62, 678-682
    _metal("ZN-CYS", "ZN", "CYS", "DEL-HG", "SG", (2.31, 0.05), "CB 107.0 5.0"),
    _metal("ZN-HISND", "ZN", "HIS", "DEL-HD1", "ND1", (2.03, 0.05), "CG 126.0 5.0; CE1 125.0 5.0"),
    _metal("ZN-HISNE", "ZN", "HIS", "DEL-HE2", "NE2", (2.03, 0.05), "CD2 126.0 5.0; CE1 125.0 5.0"),
]

MODIFICATIONS = [
    Modification(name="DEL-OXT", component=".", group="peptide", delete="OXT"),
    Modification(
        name="DEL-HN1",
        component=".",
        group="peptide",
        delete="H2 H3",
        retype=(("N", "N", "NH1", 0),),
        bonds="N-H .86 .02 1.015 .01",
        angles="CA-N-H 118.6 3.0",
    ),
    Modification(name="DEL-HNP", component=".", group="P-peptide", delete="H H2", retype=(("N", "N", "NH0", 0),)),
    Modification(name="DEL-NMH", component=".", group="M-peptide", delete="H H2", retype=(("N", "N", "NH0", 0),)),
    Modification(name="DEL-HG", component="CYS", group="peptide", delete="HG", retype=(("SG", "S", "S2", 0),)),
    Modification(name="DEL-HOG", component="SER", group="peptide", delete="HG", retype=(("OG", "O", "O2", 0),)),
    Modification(name="DEL-HG1", component="THR", group="peptide", delete="HG1", retype=(("OG1", "O", "O2", 0),)),
    Modification(name="DEL-HD22", component="ASN", group="peptide", delete="HD22", retype=(("ND2", "N", "NH1", 0),)),
    Modification(name="DEL-HD1", component="HIS", group="peptide", delete="HD1", retype=(("ND1", "N", "NRD5", 0),)),
    Modification(name="DEL-HE2", component="HIS", group="peptide", delete="HE2", retype=(("NE2", "N", "NRD5", 0),)),
    Modification(name="DEL_HO3p", component=".", group="DNA/RNA", delete="HO3'", retype=(("O3'", "O", "OC2", 0),)),
    Modification(name="DEL_OP3", component=".", group="DNA/RNA", delete="OP3 HOP3"),
    Modification(name="DEL-O1", component=".", group="pyranose", delete="O1 HO1"),
    Modification(name="DEL-O2", component="SIA", group="ketopyranose", delete="O2 HO2"),
    *(
        Modification(
            name=f"DEL-HO{number}",
            component=".",
            group="pyranose",
            delete=f"HO{number}",
            retype=((f"O{number}", "O", "O2", 0),),
        )
        for number in (2, 3, 4, 6)
    ),
    Modification(name="ACE-C", component="ACE", group="non-polymer", delete="H"),
    Modification(name="NH2-N", component="NH2", group="non-polymer", retype=(("N", "N", "NH2", 0),)),
]
