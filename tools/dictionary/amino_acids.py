"""Bonds and angles of the amino acids.

Source: Engh & Huber (2001), International Tables for Crystallography F, chapter 18.3, tables 18.3.2.1-18.3.2.3, means and
standard deviations of small-molecule structures; the protonated histidine ring: Engh & Huber (1991), Acta Cryst. A47,
392-400; selenomethionine: its C-Se distances from Allen et al. (1987), J. Chem. Soc. Perkin Trans. II, S1-S19.

Each row: atoms, mean, standard deviation (last digits spelled out: Å, degrees).
"""

from __future__ import annotations

# The spreads that Engh & Huber give for bonds are those over small molecules of many kinds. As restraint sigmas they
# let bonds drift to an rmsd of .02 Å at rms Z = 1, the upper end of the sensible (Jaskolski et al. 2007, Acta Cryst.
# D63, 611-620), so they are narrowed by this factor. Angles are not.
BOND_SIGMA_FACTOR = 0.6

BACKBONE_BONDS = "N-CA 1.459 .020; CA-C 1.525 .026; C-O 1.229 .019"
BACKBONE_ANGLES = "N-CA-C 111.0 2.7; CA-C-O 120.1 2.1; N-CA-CB 110.6 1.8; CB-CA-C 110.4 2.0"

# Where a residue differs from the backbone above, its own row comes later and wins.
BONDS = {
    "ALA": "CA-CB 1.520 .021",
    "ARG": "CA-CB 1.535 .022; CB-CG 1.521 .027; CG-CD 1.515 .025; CD-NE 1.460 .017; NE-CZ 1.326 .013;"
    " CZ-NH1 1.326 .013; CZ-NH2 1.326 .013",
    "ASN": "CA-CB 1.527 .026; CB-CG 1.506 .023; CG-OD1 1.235 .022; CG-ND2 1.324 .025",
    "ASP": "CA-CB 1.535 .022; CB-CG 1.513 .021; CG-OD1 1.249 .023; CG-OD2 1.249 .023",
    "CYS": "CA-CB 1.526 .013; CB-SG 1.812 .016",
    "GLN": "CA-CB 1.535 .022; CB-CG 1.521 .027; CG-CD 1.506 .023; CD-OE1 1.235 .022; CD-NE2 1.324 .025",
    "GLU": "CA-CB 1.535 .022; CB-CG 1.517 .019; CG-CD 1.515 .015; CD-OE1 1.252 .011; CD-OE2 1.252 .011",
    "GLY": "N-CA 1.456 .015; CA-C 1.514 .016; C-O 1.232 .016",
    "HIS": "CA-CB 1.535 .022; CB-CG 1.492 .016; CG-ND1 1.380 .010; CG-CD2 1.354 .009; ND1-CE1 1.326 .010;"
    " CE1-NE2 1.317 .011; CD2-NE2 1.373 .011",
    "ILE": "CA-CB 1.544 .023; CB-CG1 1.536 .028; CB-CG2 1.524 .031; CG1-CD1 1.500 .069",
    "LEU": "CA-CB 1.533 .023; CB-CG 1.521 .029; CG-CD1 1.514 .037; CG-CD2 1.514 .037",
    "LYS": "CA-CB 1.535 .022; CB-CG 1.521 .027; CG-CD 1.520 .034; CD-CE 1.508 .025; CE-NZ 1.486 .025",
    "MET": "CA-CB 1.535 .022; CB-CG 1.509 .032; CG-SD 1.807 .026; SD-CE 1.774 .056",
    "MSE": "CA-CB 1.535 .022; CB-CG 1.509 .032; CG-SE 1.950 .030; SE-CE 1.950 .030",
    "PHE": "CA-CB 1.535 .022; CB-CG 1.509 .017; CG-CD1 1.383 .015; CG-CD2 1.383 .015; CD1-CE1 1.388 .020;"
    " CD2-CE2 1.388 .020; CE1-CZ 1.369 .019; CE2-CZ 1.369 .019",
    "PRO": "N-CA 1.468 .017; CA-C 1.524 .020; C-O 1.228 .020; CA-CB 1.531 .020; CB-CG 1.495 .050; CG-CD 1.502 .033;"
    " CD-N 1.474 .014",
    "SER": "CA-CB 1.525 .015; CB-OG 1.418 .013",
    "THR": "CA-CB 1.529 .026; CB-OG1 1.428 .020; CB-CG2 1.519 .033",
    "TRP": "CA-CB 1.535 .022; CB-CG 1.498 .018; CG-CD1 1.363 .014; CG-CD2 1.432 .017; CD1-NE1 1.375 .017;"
    " NE1-CE2 1.371 .013; CD2-CE2 1.409 .012; CD2-CE3 1.399 .015; CE2-CZ2 1.393 .017; CE3-CZ3 1.380 .017;"
    " CZ2-CH2 1.369 .019; CZ3-CH2 1.396 .016",
    "TYR": "CA-CB 1.535 .022; CB-CG 1.512 .015; CG-CD1 1.387 .013; CG-CD2 1.387 .013; CD1-CE1 1.389 .015;"
    " CD2-CE2 1.389 .015; CE1-CZ 1.381 .013; CE2-CZ 1.381 .013; CZ-OH 1.374 .017",
    "VAL": "CA-CB 1.543 .021; CB-CG1 1.524 .021; CB-CG2 1.524 .021",
}

ANGLES = {
    "ALA": "N-CA-CB 110.1 1.4; CB-CA-C 110.1 1.5",
    "ARG": "CA-CB-CG 113.4 2.2; CB-CG-CD 111.6 2.6; CG-CD-NE 111.8 2.1; CD-NE-CZ 123.6 1.4; NE-CZ-NH1 120.3 .5;"
    " NE-CZ-NH2 120.3 .5; NH1-CZ-NH2 119.4 1.1",
    "ASN": "CA-CB-CG 113.4 2.2; CB-CG-ND2 116.7 2.4; CB-CG-OD1 121.6 2.0; ND2-CG-OD1 121.9 2.3",
    "ASP": "CA-CB-CG 113.4 2.2; CB-CG-OD1 118.3 .9; CB-CG-OD2 118.3 .9; OD1-CG-OD2 123.3 1.9",
    "CYS": "N-CA-CB 110.8 1.5; CB-CA-C 111.5 1.2; CA-CB-SG 114.2 1.1",
    "GLN": "CA-CB-CG 113.4 2.2; CB-CG-CD 111.6 2.6; CG-CD-OE1 121.6 2.0; CG-CD-NE2 116.7 2.4; OE1-CD-NE2 121.9 2.3",
    "GLU": "CA-CB-CG 113.4 2.2; CB-CG-CD 114.2 2.7; CG-CD-OE1 118.3 2.0; CG-CD-OE2 118.3 2.0; OE1-CD-OE2 123.3 1.2",
    "GLY": "N-CA-C 113.1 2.5; CA-C-O 120.6 1.8",
    "HIS": "CA-CB-CG 113.6 1.7; CB-CG-ND1 122.7 1.5; CB-CG-CD2 131.2 1.3; CD2-CG-ND1 106.1 1.0; CG-ND1-CE1 109.3 1.7;"
    " ND1-CE1-NE2 108.4 1.0; CE1-NE2-CD2 109.0 1.0; NE2-CD2-CG 107.2 1.0",
    "ILE": "N-CA-CB 110.8 2.3; CB-CA-C 111.6 2.0; CA-CB-CG1 111.0 1.9; CB-CG1-CD1 113.9 2.8; CA-CB-CG2 110.9 2.0;"
    " CG1-CB-CG2 111.4 2.2",
    "LEU": "N-CA-CB 110.4 2.0; CB-CA-C 110.2 1.9; CA-CB-CG 115.3 2.3; CB-CG-CD1 111.0 1.7; CB-CG-CD2 111.0 1.7;"
    " CD1-CG-CD2 110.5 3.0",
    "LYS": "CA-CB-CG 113.4 2.2; CB-CG-CD 111.6 2.6; CG-CD-CE 111.9 3.0; CD-CE-NZ 111.7 2.3",
    "MET": "CA-CB-CG 113.3 1.7; CB-CG-SD 112.4 3.0; CG-SD-CE 100.2 1.6",
    "MSE": "CA-CB-CG 113.3 1.7; CB-CG-SE 112.4 3.0; CG-SE-CE 98.0 2.0",
    "PHE": "CA-CB-CG 113.9 2.4; CB-CG-CD1 120.8 .7; CB-CG-CD2 120.8 .7; CD1-CG-CD2 118.3 1.3; CG-CD1-CE1 120.8 1.1;"
    " CG-CD2-CE2 120.8 1.1; CD1-CE1-CZ 120.1 1.2; CD2-CE2-CZ 120.1 1.2; CE1-CZ-CE2 120.0 1.8",
    "PRO": "N-CA-CB 103.3 1.2; CB-CA-C 111.7 2.1; N-CA-C 112.1 2.6; CA-C-O 120.2 2.4; CA-CB-CG 104.8 1.9;"
    " CB-CG-CD 106.5 3.9; CG-CD-N 103.2 1.5; CA-N-CD 111.7 1.4",
    "SER": "N-CA-CB 110.5 1.5; CB-CA-C 110.1 1.9; CA-CB-OG 111.2 2.7",
    "THR": "N-CA-CB 110.3 1.9; CB-CA-C 111.6 2.7; CA-CB-OG1 109.0 2.1; CA-CB-CG2 112.4 1.4; OG1-CB-CG2 110.0 2.3",
    "TRP": "CA-CB-CG 113.7 1.9; CB-CG-CD1 127.0 1.3; CB-CG-CD2 126.6 1.3; CD1-CG-CD2 106.3 .8; CG-CD1-NE1 110.1 1.0;"
    " CD1-NE1-CE2 109.0 .9; NE1-CE2-CD2 107.3 1.0; CE2-CD2-CG 107.3 .8; CG-CD2-CE3 133.9 .9; NE1-CE2-CZ2 130.4 1.1;"
    " CE3-CD2-CE2 118.7 1.2; CD2-CE2-CZ2 122.3 1.2; CE2-CZ2-CH2 117.4 1.0; CZ2-CH2-CZ3 121.6 1.2;"
    " CH2-CZ3-CE3 121.2 1.1; CZ3-CE3-CD2 118.8 1.3",
    "TYR": "CA-CB-CG 113.4 1.9; CB-CG-CD1 121.0 .6; CB-CG-CD2 121.0 .6; CD1-CG-CD2 117.9 1.1; CG-CD1-CE1 121.3 .8;"
    " CG-CD2-CE2 121.3 .8; CD1-CE1-CZ 119.8 .9; CD2-CE2-CZ 119.8 .9; CE1-CZ-CE2 119.8 1.6; CE1-CZ-OH 120.1 2.7;"
    " CE2-CZ-OH 120.1 2.7",
    "VAL": "N-CA-CB 111.5 2.2; CB-CA-C 111.4 1.9; CA-CB-CG1 110.9 1.5; CA-CB-CG2 110.9 1.5; CG1-CB-CG2 110.9 1.6",
}

# The C-terminal carboxylate, as in aspartate.
TERMINAL_BONDS = "C-OXT 1.249 .023"
TERMINAL_ANGLES = "CA-C-OXT 117.0 2.0; O-C-OXT 122.9 2.0"

# Side-chain torsions: atoms, ideal, sigma, period. Periods of 6 join the ±90° and the flat preferences of trigonal atoms
# on tetrahedral ones (Lovell et al. 2000, Proteins 40, 389).
TORSIONS = {
    "ARG": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD 180 10 3; chi3 CB-CG-CD-NE 180 10 3; chi4 CG-CD-NE-CZ 180 20 6;"
    " chi5 CD-NE-CZ-NH1 0 5 2",
    "ASN": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-OD1 0 20 6",
    "ASP": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-OD1 0 20 6",
    "CYS": "chi1 N-CA-CB-SG 180 10 3",
    "GLN": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD 180 10 3; chi3 CB-CG-CD-OE1 0 20 6",
    "GLU": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD 180 10 3; chi3 CB-CG-CD-OE1 0 20 6",
    "HIS": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-ND1 90 20 6",
    "ILE": "chi1 N-CA-CB-CG1 180 10 3; chi2 CA-CB-CG1-CD1 180 10 3",
    "LEU": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD1 180 10 3",
    "LYS": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD 180 10 3; chi3 CB-CG-CD-CE 180 10 3; chi4 CG-CD-CE-NZ 180 10 3",
    "MET": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-SD 180 10 3; chi3 CB-CG-SD-CE 180 10 3",
    "MSE": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-SE 180 10 3; chi3 CB-CG-SE-CE 180 10 3",
    "PHE": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD1 90 20 6",
    "SER": "chi1 N-CA-CB-OG 180 10 3",
    "THR": "chi1 N-CA-CB-OG1 180 10 3",
    "TRP": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD1 90 20 6",
    "TYR": "chi1 N-CA-CB-CG 180 10 3; chi2 CA-CB-CG-CD1 90 20 6",
    "VAL": "chi1 N-CA-CB-CG1 180 10 3",
}

# Names of equal substituents fixed by IUPAC: centre, three neighbours; the hand is that of the component's coordinates.
PROCHIRAL = {"VAL": ("CB", "CA", "CG1", "CG2"), "LEU": ("CG", "CB", "CD1", "CD2")}

SOURCE = "Engh & Huber (2001), International Tables F, 18.3: bonds and angles between heavy atoms"
