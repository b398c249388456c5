"""Sugars, clusters, ions, water and what crystals are grown and frozen in."""

from __future__ import annotations

# Pyranoses: Jeffrey (1990), Acta Cryst. B46, 89-103, and Allen & Fortier (1993), Acta Cryst. B49, 1021-1031, for rings in
# the chair; α and β by the direction of O1. Angles other than these are those of the computed geometry.
PYRANOSE_BOND_SIGMA = 0.015
PYRANOSE_BONDS = {"C-C": 1.524, "C-O": 1.425, "C5-O5": 1.434}
ANOMERIC_BONDS = {"alpha": {"C1-O1": 1.398, "C1-O5": 1.419}, "beta": {"C1-O1": 1.387, "C1-O5": 1.428}}
ANOMERIC_ANGLES = {
    "alpha": {"C1-O5-C5": 113.8, "O1-C1-O5": 111.6},
    "beta": {"C1-O5-C5": 112.0, "O1-C1-O5": 107.5},
}
# Names of the ring of the common pyranoses, with their anomer. Sialic acid is numbered from its C2.
PYRANOSES = {
    "NAG": "beta",
    "NDG": "alpha",
    "BMA": "beta",
    "MAN": "alpha",
    "GAL": "beta",
    "GLA": "alpha",
    "GLC": "alpha",
    "BGC": "beta",
    "FUC": "alpha",
    "FUL": "beta",
    "XYP": "beta",
    "XYS": "alpha",
    "SIA": "",
}
SUGAR_SOURCE = "Jeffrey (1990), Acta Cryst. B46, 89: bonds of pyranoses; other values from MMFF94s (Halgren 1999)"

# Iron-sulphur clusters: bridging Fe-S distances and angles of the synthetic analogues, Beinert, Holm & Münck (1997),
# Science 277, 653-659, and Rao & Holm (2004), Chem. Rev. 104, 527-559. Fe-Fe contacts follow from these.
CLUSTERS = {
    "SF4": (
        [("FE1", "S2 S3 S4"), ("FE2", "S1 S3 S4"), ("FE3", "S1 S2 S4"), ("FE4", "S1 S2 S3")],
        {"bond": (2.29, 0.03), "S-FE-S": (104.0, 3.0), "FE-S-FE": (73.5, 3.0)},
    ),
    "FES": (
        [("FE1", "S1 S2"), ("FE2", "S1 S2")],
        {"bond": (2.21, 0.03), "S-FE-S": (105.0, 3.0), "FE-S-FE": (75.0, 3.0)},
    ),
}
CLUSTER_SOURCE = "Rao & Holm (2004), Chem. Rev. 104, 527: Fe-S bonds and angles of synthetic analogues"

# Haem b: the porphyrin core of iron porphyrins, Scheidt & Lee (1987), Struct. Bonding 64, 1-70; Fe-N spans low and high
# spin. {x} is one of the pyrroles A to D, {m} and {n} the methine carbons before and after it. Vinyl and propionate
# groups: Allen et al. (1987), J. Chem. Soc. Perkin Trans. II, S1-S19.
HAEM_METHINES = {"A": ("CHA", "CHB"), "B": ("CHB", "CHC"), "C": ("CHC", "CHD"), "D": ("CHD", "CHA")}
HAEM_BONDS = (
    "FE-N{x} 2.04 .04; N{x}-C1{x} 1.381 .015; N{x}-C4{x} 1.381 .015; C1{x}-C2{x} 1.443 .015; C4{x}-C3{x} 1.443 .015;"
    " C2{x}-C3{x} 1.356 .015; C1{x}-{m} 1.386 .015; C4{x}-{n} 1.386 .015; C2{x}-CM{x} 1.501 .015; C3{x}-CM{x} 1.501 .015"
)
HAEM_ANGLES = (
    "C1{x}-N{x}-C4{x} 105.8 1.5; N{x}-C1{x}-C2{x} 109.9 1.5; N{x}-C4{x}-C3{x} 109.9 1.5; C1{x}-C2{x}-C3{x} 107.2 1.5;"
    " C4{x}-C3{x}-C2{x} 107.2 1.5; N{x}-C1{x}-{m} 125.4 1.5; N{x}-C4{x}-{n} 125.4 1.5; C2{x}-C1{x}-{m} 124.7 1.5;"
    " C3{x}-C4{x}-{n} 124.7 1.5; FE-N{x}-C1{x} 127.1 3.0; FE-N{x}-C4{x} 127.1 3.0"
)
HAEM_METHINE_ANGLES = "C4A-CHB-C1B 125.5 2.0; C4B-CHC-C1C 125.5 2.0; C4C-CHD-C1D 125.5 2.0; C4D-CHA-C1A 125.5 2.0"
HAEM_CIS = "NA-FE-NB 90 3; NB-FE-NC 90 3; NC-FE-ND 90 3; ND-FE-NA 90 3"
HAEM_SIDE_BONDS = (
    "C3B-CAB 1.470 .02; CAB-CBB 1.320 .02; C3C-CAC 1.470 .02; CAC-CBC 1.320 .02; C2A-CAA 1.505 .02; CAA-CBA 1.528 .02;"
    " CBA-CGA 1.512 .02; C3D-CAD 1.505 .02; CAD-CBD 1.528 .02; CBD-CGD 1.512 .02; CGA-O1A 1.254 .02; CGA-O2A 1.254 .02;"
    " CGD-O1D 1.254 .02; CGD-O2D 1.254 .02"
)
HAEM_SIDE_ANGLES = (
    "C2A-CAA-CBA 112.5 3; CAA-CBA-CGA 112.5 3; C3D-CAD-CBD 112.5 3; CAD-CBD-CGD 112.5 3; C3B-CAB-CBB 126.0 3;"
    " C3C-CAC-CBC 126.0 3; CBA-CGA-O1A 117.7 3; CBA-CGA-O2A 117.7 3; O1A-CGA-O2A 124.5 3; CBD-CGD-O1D 117.7 3;"
    " CBD-CGD-O2D 117.7 3; O1D-CGD-O2D 124.5 3"
)
HAEM_SOURCE = "Scheidt & Lee (1987), Struct. Bonding 64, 1: the core; Allen et al. (1987): bonds of the side groups"

# Single atoms: component, element, charge.
IONS = {
    "NA": ("NA", 1), "K": ("K", 1), "LI": ("LI", 1), "RB": ("RB", 1), "CS": ("CS", 1), "AG": ("AG", 1),
    "MG": ("MG", 2), "CA": ("CA", 2), "SR": ("SR", 2), "BA": ("BA", 2), "MN": ("MN", 2), "FE2": ("FE", 2),
    "FE": ("FE", 3), "CO": ("CO", 2), "NI": ("NI", 2), "CU": ("CU", 2), "CU1": ("CU", 1), "ZN": ("ZN", 2),
    "CD": ("CD", 2), "HG": ("HG", 2), "PB": ("PB", 2), "YB": ("YB", 3), "SM": ("SM", 3), "GD": ("GD", 3),
    "PT": ("PT", 2), "AU": ("AU", 1), "TL": ("TL", 1), "AL": ("AL", 3), "F": ("F", -1), "CL": ("CL", -1),
    "BR": ("BR", -1), "IOD": ("I", -1), "XE": ("XE", 0), "KR": ("KR", 0),
}  # fmt: skip

# Oxyanions and others whose bonds MMFF gets wrong by more than .02 Å: Allen et al. (1987), J. Chem. Soc. Perkin Trans. II,
# S1-S19.
SMALL_BONDS = {
    "SO4": {"S-O1": 1.472, "S-O2": 1.472, "S-O3": 1.472, "S-O4": 1.472},
    "PO4": {"P-O1": 1.535, "P-O2": 1.535, "P-O3": 1.535, "P-O4": 1.535},
    "DMS": {"S-O": 1.497, "S-C1": 1.789, "S-C2": 1.789},
    "NO3": {"N-O1": 1.239, "N-O2": 1.239, "N-O3": 1.239},
    "ACT": {"C-O": 1.254, "C-OXT": 1.254, "C-CH3": 1.520},
    "FMT": {"C-O1": 1.242, "C-O2": 1.242},
    "AZI": {"N1-N2": 1.178, "N2-N3": 1.178},
    "SCN": {"S-C": 1.640, "C-N": 1.155},
}
SMALL_SOURCE = (
    "Allen et al. (1987), J. Chem. Soc. Perkin Trans. II, S1: bonds; other values from MMFF94s (Halgren 1999)"
)
COMPUTED_SOURCE = "MMFF94s (Halgren 1999) on the drawing of the chemical component dictionary"

SOLVENTS = (
    "GOL EDO PEG PGE PG4 1PE P6G PGO SO4 PO4 ACT DMS MPD MRD FMT TRS EPE MES CIT FLC IMD BME DTT NO3 IPA EOH MOH ACN BCT"
    " CO3 AZI SCN MLI MLA TAR TLA SIN BTB B3P CAC NH4 URE GAI BEN DIO HEZ POL BU1 CXS NHE TAM SUC TRE"
).split()
MODIFIED_AMINO_ACIDS = "SEP TPO PTR HYP CSO CME MLY M3L KCX PCA ALY OCS SEC ORN UNK".split()
CAPS = "ACE NH2".split()
COFACTORS = "ADP AMP ATP ANP GDP GTP GNP NAD NAI NAP NDP FAD FMN PLP SAM SAH COA ACO BTN TPP THG GSH UDP UMP".split()
