"""Clash score by Reduce and Probe of cctbx, without its own dictionaries; run by `clashscore_agreement.py`.

Usage: CCTBX_PYTHON cctbx_clashscore.py MODEL         with MMTBX_CCP4_MONOMER_LIB set to a folder made for the model

cctbx-base comes without geostd, on which Probe relies for radii and Reduce for names of bonded atoms: both are given
here. Radii are those of Probe's own table and of the checks in `mmtbx.probe.Helpers`.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import iotbx.cli_parser
from libtbx.utils import null_out
from mmtbx.hydrogens import reduce_hydrogen
from mmtbx.monomer_library import server
from mmtbx.probe import Helpers
from mmtbx.programs.clashscore2 import Program

RADII = {
    "C": 1.70, "N": 1.55, "O": 1.40, "S": 1.80, "P": 1.80, "SE": 1.90, "H": 1.22, "D": 1.22, "F": 1.30, "CL": 1.77,
    "BR": 1.95, "I": 2.10,
}  # fmt: skip
AROMATIC, CARBONYL, POLAR_H, AROMATIC_H = 1.75, 1.65, 1.05, 1.05
CARBONYLS = {("ASP", "CG"), ("ASN", "CG"), ("GLU", "CD"), ("GLN", "CD")}

plain_server = server.server.__init__


def server_with_ends(self: Any, *args: Any, **options: Any) -> None:
    """The two modifications of chain ends that cctbx's own copy of the library has and CCP4's has not."""
    plain_server(self, *args, **options)
    for name in ("NH1", "NH2"):
        if name + "NOTPRO" not in self.mod_mod_id_dict:
            mod = copy.deepcopy(self.mod_mod_id_dict[name])
            mod.angle_list = [a for a in mod.angle_list if "CD" not in (a.atom_id_1, a.atom_id_3)]
            self.mod_mod_id_dict[name + "NOTPRO"] = mod


server.server.__init__ = server_with_ends
library = server.server()


def component(name: str) -> Any:
    return library.get_comp_comp_id_direct(name)


def bonded(atom: Any, exclude_hydrogens: bool = False) -> list[str]:
    entry = component(atom.parent().resname.strip())
    if entry is None:
        return []
    element, name = {a.atom_id: a.type_symbol for a in entry.atom_list}, atom.name.strip()
    pairs = [(b.atom_id_1, b.atom_id_2) for b in entry.bond_list if name in (b.atom_id_1, b.atom_id_2)]
    others = [b if a == name else a for a, b in pairs]
    return [o for o in others if not (exclude_hydrogens and element.get(o) in ("H", "D"))]


def is_aromatic(residue: str, name: str) -> bool:
    entry = component(residue)
    return entry is not None and any(a.atom_id == name and a.type_energy.startswith("CR") for a in entry.atom_list)


plain_information = Helpers.getExtraAtomInfo


def information_with_radii(model: Any, bondedNeighborLists: Any, **options: Any) -> Any:
    result = plain_information(model, bondedNeighborLists, **options)
    for atom in model.get_hierarchy().atoms():
        extra = result.extraAtomInfo.getMappingFor(atom)
        if extra.isIon:
            continue
        element, residue, name = atom.element.strip().upper(), atom.parent().resname.strip(), atom.name.strip()
        radius = RADII.get(element, extra.vdwRadius)
        if element == "C":
            if name == "C" or (residue, name) in CARBONYLS:
                radius = CARBONYL
            elif is_aromatic(residue, name):
                radius = AROMATIC
        elif element in ("H", "D"):
            carriers = list(bondedNeighborLists[atom])
            if any(c.element.strip() in ("N", "O", "S") for c in carriers):
                radius = POLAR_H
            elif any(is_aromatic(residue, c.name.strip()) for c in carriers):
                radius = AROMATIC_H
        extra.vdwRadius = radius
        result.extraAtomInfo.setMappingFor(atom, extra)
    return result


reduce_hydrogen.bonds_in_restraints = bonded
Helpers.getExtraAtomInfo = information_with_radii
parser = iotbx.cli_parser.CCTBXParser(program_class=Program, logger=null_out())
parser.parse_args([sys.argv[1]])
program = Program(parser.data_manager, parser.working_phil.extract(), master_phil=parser.master_phil, logger=sys.stdout)
program.validate()
program.run()
