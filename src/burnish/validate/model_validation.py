"""Everything that is said of one model, put together."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.all_atom import AllAtomModel, all_atom_model
from burnish.chemistry.exact_contours import Contours
from burnish.chemistry.labels import atom_names
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.sampled_map import SampledMap
from burnish.validate.cbeta import CBetaDeviation, validate_cbeta
from burnish.validate.clashes import Clashes, find_clashes
from burnish.validate.density_fit import DifferencePeak, ResidueFit, difference_peaks, residue_fits
from burnish.validate.displacements import DisplacementOutlier, displacement_outliers
from burnish.validate.flips import Flip, find_flips
from burnish.validate.geometry import GeometryReport, validate_geometry
from burnish.validate.histidines import protonate_histidines
from burnish.validate.molprobity import molprobity_score
from burnish.validate.peptides import Peptide, validate_peptides
from burnish.validate.polar_hydrogens import turn_polar_hydrogens
from burnish.validate.ramachandran import RamachandranResidue, validate_ramachandran
from burnish.validate.rotamers import RotamerResidue, validate_rotamers
from burnish.validate.waters import WaterContact, water_contacts


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMaps:
    """Maps that a model is compared with, on one grid.

    Attributes
    ----------
    density, calculated, difference : observed, from the model, and what is between them.
    d_min : resolution, Å.
    """

    density: SampledMap
    calculated: SampledMap
    difference: SampledMap
    d_min: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The few numbers of a model's geometry; residues count once, by their first conformer."""

    favoured_percent: float
    allowed_percent: float
    outlier_percent: float
    rotamer_favoured_percent: float
    rotamer_outlier_percent: float
    rotamer_outliers: int
    cbeta_outliers: int
    clashscore: float
    molprobity_score: float
    cis_nonproline: int
    twisted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelValidation:
    """All findings about one model.

    Attributes
    ----------
    views : residues by conformer, which the findings refer to by index.
    atom_names : of all atoms of the model, for peaks ("A 27 LEU CD1").
    clash_names : of the all-atom model, which the clashes refer to.
    geometry : deviations of bonds, angles, torsions, planes and chiral volumes.
    fits, peaks : empty without data.
    """

    views: tuple[ResidueView, ...]
    atom_names: tuple[str, ...]
    ramachandran: tuple[RamachandranResidue, ...]
    rotamers: tuple[RotamerResidue, ...]
    cbeta: tuple[CBetaDeviation, ...]
    peptides: tuple[Peptide, ...]
    clashes: Clashes
    clash_names: tuple[str, ...]
    flips: tuple[Flip, ...]
    waters: tuple[WaterContact, ...]
    displacements: tuple[DisplacementOutlier, ...]
    geometry: GeometryReport
    fits: tuple[ResidueFit, ...]
    peaks: tuple[DifferencePeak, ...]
    scores: Scores


def validate_model(
    structure: gemmi.Structure,
    atoms: Atoms,
    library: gemmi.MonLib,
    crystal: Symmetry | None = None,
    maps: JudgedMaps | None = None,
    contours: Contours | None = None,
) -> ModelValidation:
    """Judge one model.

    Parameters
    ----------
    structure : its first model, atoms in the order of `atoms`.
    atoms : parameters of every atom.
    library : dictionaries of its components, for hydrogens.
    crystal : for contacts with symmetry mates; None without.
    maps : to compare with; None for geometry alone.
    contours : exact Ramachandran contours; None for the fitted densities.
    """
    views = residue_views(structure[0])
    xyz = atoms.xyz.detach()
    electrons = torch.tensor([float(gemmi.Element(e).atomic_number) for e in atoms.elements], dtype=torch.float64)
    full = full_model(structure, library)
    backbone, side_chains = validate_ramachandran(xyz, views, contours), validate_rotamers(xyz, views)
    cbeta, peptides, clashes = validate_cbeta(xyz, views), validate_peptides(xyz, views), find_clashes(full)
    fits: tuple[ResidueFit, ...] = ()
    peaks: tuple[DifferencePeak, ...] = ()
    if maps is not None:
        fits = residue_fits(
            maps.density, maps.calculated, maps.difference, xyz, atoms.b_iso, atoms.occ, electrons, views, maps.d_min
        )
        peaks = difference_peaks(maps.difference, crystal, xyz)
    return ModelValidation(
        views=views,
        atom_names=atom_names(structure),
        ramachandran=backbone,
        rotamers=side_chains,
        cbeta=cbeta,
        peptides=peptides,
        clashes=clashes,
        clash_names=atom_names(full.structure),
        flips=find_flips(full),
        waters=water_contacts(xyz.numpy(), atoms.elements, views, crystal),
        displacements=_displacements(xyz, atoms, electrons, views),
        geometry=validate_geometry(structure, library),
        fits=fits,
        peaks=peaks,
        scores=_scores(views, backbone, side_chains, cbeta, peptides, clashes),
    )


def full_model(structure: gemmi.Structure, library: gemmi.MonLib) -> AllAtomModel:
    """The model with hydrogens where they bond best."""
    return turn_polar_hydrogens(protonate_histidines(all_atom_model(structure, library)))


def _scores(
    views: tuple[ResidueView, ...],
    backbone: tuple[RamachandranResidue, ...],
    side_chains: tuple[RotamerResidue, ...],
    cbeta: tuple[CBetaDeviation, ...],
    peptides: tuple[Peptide, ...],
    clashes: Clashes,
) -> Scores:
    phi_psi = [r.verdict for r in backbone if views[r.view].is_primary]
    chi = [r.verdict for r in side_chains if views[r.view].is_primary]
    bonds = [p for p in peptides if views[p.view].is_primary]
    favoured = _percent(phi_psi.count("favoured"), len(phi_psi), 100.0)
    poor = _percent(chi.count("outlier"), len(chi), 0.0)
    return Scores(
        favoured_percent=favoured,
        allowed_percent=_percent(phi_psi.count("allowed"), len(phi_psi), 0.0),
        outlier_percent=_percent(phi_psi.count("outlier"), len(phi_psi), 0.0),
        rotamer_favoured_percent=_percent(chi.count("favoured"), len(chi), 100.0),
        rotamer_outlier_percent=poor,
        rotamer_outliers=chi.count("outlier"),
        cbeta_outliers=sum(d.is_outlier for d in cbeta if views[d.view].is_primary),
        clashscore=clashes.score,
        molprobity_score=molprobity_score(clashes.score, poor, favoured),
        cis_nonproline=sum(p.kind == "cis" and not p.is_proline for p in bonds),
        twisted=sum(p.kind == "twisted" for p in bonds),
    )


def _percent(part: int, whole: int, empty: float) -> float:
    return 100.0 * part / whole if whole else empty


def _displacements(
    xyz: Tensor, atoms: Atoms, electrons: Tensor, views: tuple[ResidueView, ...]
) -> tuple[DisplacementOutlier, ...]:
    return displacement_outliers(xyz.numpy(), atoms.b_iso.detach().numpy(), np.asarray(electrons < 1.5), views)
