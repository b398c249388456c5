"""Radii and hydrogen-bond roles of the energy types that dictionaries in CCP4's format name.

Sources: van der Waals radii with explicit hydrogens from Bondi (1964), J. Phys. Chem. 68, 441-451, metals from Alvarez (2013), Dalton Trans. 42, 8617-8636 (as gemmi tabulates
them); radii of groups with their hydrogens from Tsai et al. (1999), J. Mol. Biol. 290, 253-266; ionic radii from Shannon
(1976), Acta Cryst. A32, 751-767, six-coordinate.
"""

from __future__ import annotations

VDW = {
    "H": 1.20, "C": 1.70, "N": 1.55, "O": 1.52, "F": 1.47, "P": 1.80, "S": 1.80, "CL": 1.75, "SE": 1.90, "BR": 1.85,
    "I": 1.98, "AS": 1.85, "SI": 2.10, "TE": 2.06, "B": 1.92, "HE": 1.40, "NE": 1.54, "AR": 1.88, "KR": 2.02, "XE": 2.16,
}  # fmt: skip

# Tsai et al. name groups by bonds, valence and hydrogens (C3H0 …); here by the energy types they correspond to.
UNITED = {
    1.61: "C C2 CSP CR1 CR2 CR5 CR6 CR55 CR56 CR66 CT",
    1.76: "C1 CSP1 CR1H CR15 CR16",
    1.88: "CH1 CH2 CH3",
    1.64: "N NS NSP NS1 NSP1 NC1 NC2 NC3 NH0 NH1 NH2 N20 N21 NT NT1 NT2 NT3 NT4 N30 N31 N32 N33 NPA NPB NR5 NR15 NRD5"
    " NR56 NR55 NR6 NR66 NR16 NRD6",
    1.42: "O OC OP OS OB",
    1.46: "O2 OH1 OH2 OHA OHB OHC OC2",
    1.77: "S S1 S2 S3 ST SH1",
}

DONORS = "NS1 NSP1 NC1 NC2 NC3 NH1 NH2 NT1 NT2 NT3 NT4 NR15 NR16".split()
ACCEPTORS = "NS NSP N20 N30 NPA NPB NRD5 NRD6 O O2 OC2 OC OP OS OB S S1 S2 S3 ST CL BR I F".split()
BOTH = "N21 N31 N32 N33 OH1 OH2 OHA OHB OHC SH1".split()

HYDROGENS = (
    "H HCH HCH1 HCH2 HCH3 HCR HCR1 HC1 HC2 HCR5 HCR6 HNC1 HNC2 HNC3 HNH1 HNH2 HNR5 HNR6 HNT1 HNT2 HNT3 HOH1 HOH2 HOHA"
    " HOHB HOHC HSH1"
).split()
OTHER_TYPES = {
    "P": "P",
    "P1": "P",
    "PS": "P",
    "SI": "SI",
    "SI1": "SI",
    "GE": "GE",
    "GE1": "GE",
    "AS": "AS",
    "AS1": "AS",
}

IONIC = {
    "LI": 0.76, "NA": 1.02, "K": 1.38, "RB": 1.52, "CS": 1.67, "BE": 0.45, "MG": 0.72, "CA": 1.00, "SR": 1.18,
    "BA": 1.35, "AL": 0.535, "GA": 0.62, "TL": 1.50, "PB": 1.19, "BI": 1.03, "SC": 0.745, "TI": 0.605, "V": 0.64,
    "CR": 0.615, "MN": 0.83, "FE": 0.78, "CO": 0.745, "NI": 0.69, "CU": 0.73, "ZN": 0.74, "Y": 0.90, "ZR": 0.72,
    "MO": 0.65, "RU": 0.68, "RH": 0.665, "PD": 0.86, "AG": 1.15, "CD": 0.95, "W": 0.66, "RE": 0.63, "OSE": 0.63,
    "IR": 0.68, "PT": 0.80, "AU": 1.37, "HG": 1.02, "LA": 1.032, "CE": 1.01, "PR": 0.99, "ND": 0.983, "SM": 0.958,
    "EU": 0.947, "GD": 0.938, "TB": 0.923, "DY": 0.912, "HO": 0.901, "ER": 0.89, "TM": 0.88, "YB": 0.868, "LU": 0.861,
    "U": 0.89,
}  # fmt: skip
# Radius that a ligand atom shows to a metal, so that the sum is their distance (oxide 1.40; N and S by their usual
# excess over O, Harding 2006, Acta Cryst. D62, 678-682).
LIGAND_RADII = {"O": 1.40, "N": 1.46, "S": 1.72, "F": 1.33, "CL": 1.81, "BR": 1.96, "I": 2.20}
