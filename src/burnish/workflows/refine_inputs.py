"""Inputs of `burnish refine`: read, checked against each other, and made ready for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi
import torch

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.hydrogens import make_riders, place_hydrogens
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.core.errors import DataError, InputError
from burnish.core.events import Listener, Message
from burnish.data.labels import AtomLabels
from burnish.data.particle_symmetry import Symmetry
from burnish.data.reflections import Crystal, Reflections
from burnish.io.free_flags import twin_agreement
from burnish.io.models import ModelFile, agree_on_crystal, atoms_of, read_model
from burnish.io.predictions import from_prediction
from burnish.io.reflections import DataRequest, DiffractionData, read_reflections
from burnish.io.tls_groups import read_tls_groups
from burnish.models.anomalous_target import AnomalousTarget
from burnish.models.crystal_term import CrystalSettings, CrystalTerm
from burnish.models.french_wilson import french_wilson
from burnish.models.intensity_target import IntensityTarget
from burnish.models.phased_target import PhasedTarget
from burnish.models.predicted import LEAST_CONFIDENT, looks_predicted
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinableModel
from burnish.models.restraints.weights import GeometryWeights
from burnish.models.targets import AmplitudeTarget, LeastSquaresTarget, Target
from burnish.models.twin_target import TwinTarget
from burnish.models.twinning import twin_laws
from burnish.options.refine import RefineOptions
from burnish.scattering.dispersion import dispersion_at
from burnish.scattering.form_factors import Radiation
from burnish.workflows.device import chosen_device

TARGETS: dict[str, Callable[[Reflections], Target]] = {
    "ml": AmplitudeTarget,
    "intensity": IntensityTarget,
    "phased": PhasedTarget,
    "anomalous": AnomalousTarget,
    "ls": LeastSquaresTarget,
}
TOGETHER = 0.5  # share of twin mates of free reflections that must be free; .05 is chance


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineInputs:
    """Everything that a refinement against diffraction data starts from.

    Attributes
    ----------
    model, data : the files as read; `data.reflections` has amplitudes.
    library, topology : restraints and where they come from.
    refinable : the model for the engine; its atoms are those of `topology.structure`.
    files : every input file, for the record of the job.
    """

    model: ModelFile
    data: DiffractionData
    library: Library
    topology: Topology
    refinable: RefinableModel
    files: tuple[Path, ...]


def read_inputs(options: RefineOptions, listener: Listener) -> RefineInputs:
    """Read and check all inputs, telling what was chosen and what is doubtful."""
    if options.data is None:
        raise InputError("no diffraction data given")
    data = read_reflections(options.data, data_request(options))
    for message in data.messages:
        listener(message)
    data = with_amplitudes(data)
    model = read_model(options.model)
    for message in (*model.messages, *agree_on_crystal(model, data.reflections.crystal, data.source)):
        listener(message)
    structure = _in_crystal(model, data)
    library, topology, refinable = restrained_model(options, structure, data.reflections.crystal, listener)
    return RefineInputs(
        model=model,
        data=data,
        library=library,
        topology=topology,
        refinable=refinable,
        files=(options.model, data.source, *options.ligand),
    )


def restrained_model(
    options: RefineOptions, structure: gemmi.Structure, crystal: Crystal | None, listener: Listener
) -> tuple[Library, Topology, RefinableModel]:
    """Dictionaries of a structure's components, its restraints, and the model for the engine."""
    structure = _as_crystal_model(options, structure, listener)
    examples = {residue.name: residue for chain in structure[0] for residue in chain}
    library = read_library(
        sorted(examples),
        ligands=options.ligand,
        monomers=options.monomers,
        smiles=dict(item.split("=", 1) for item in options.smiles),
        examples=examples,
    )
    check_atoms(structure, library.monlib)
    topology = build_topology(structure, library.monlib, hydrogens=options.hydrogens)
    for text in (*library.messages, *topology.messages):
        listener(Message(text, "warning"))
    distance: Literal["electron", "nucleus"] = "nucleus" if options.radiation == "neutron" else "electron"
    return library, topology, refinable_model(topology, crystal, distance)


def refinable_model(
    topology: Topology, symmetry: Symmetry | None, distance: Literal["electron", "nucleus"] = "electron"
) -> RefinableModel:
    """A model for the engine, its riding hydrogens where every step of a refinement puts them.

    Where the dictionary's geometry has placed them they have lower energies: the start would look better than any step
    from it, and a nearly refined model would not move at all.
    """
    atoms = atoms_of(topology.structure)
    riders = make_riders(topology.restraints, atoms.xyz, distance=distance)
    return RefinableModel(
        atoms=replace(atoms, xyz=place_hydrogens(atoms.xyz, riders)),
        restraints=topology.restraints,
        riders=riders,
        crystal=symmetry,
        labels=atom_labels(topology.structure),
    )


def _as_crystal_model(options: RefineOptions, structure: gemmi.Structure, listener: Listener) -> gemmi.Structure:
    """A prediction made into a model with B, when the user says so; a warning when it seems to be one."""
    if options.predicted:
        model, dropped = from_prediction(structure)
        left_out = f"; {dropped} residues below {LEAST_CONFIDENT:g} are left out" if dropped else ""
        listener(Message(f"{options.model.name}: B from pLDDT{left_out}"))
        return model
    atoms = atoms_of(structure)
    if looks_predicted(atoms.b_iso.numpy(), atoms.residue.numpy()):
        text = f"{options.model.name}: B is the same in each residue and may be pLDDT; if so, give --predicted"
        listener(Message(text, "warning"))
    return structure


def data_request(options: RefineOptions) -> DataRequest:
    """What the options say about the data."""
    labels = tuple(p.strip() for p in options.labels.split(",") if p.strip()) if options.labels else None
    return DataRequest(
        labels=labels,
        free_label=options.free_label,
        free_value=options.free_value,
        new_free=options.new_free_flags,
        require_free=options.require_free,
        seed=options.seed,
        d_min=options.d_min,
        d_max=options.d_max or float("inf"),
        block=options.data_block,
    )


def with_amplitudes(data: DiffractionData) -> DiffractionData:
    """Data whose amplitudes come from the intensities by French and Wilson's method, where only those were measured."""
    r = data.reflections
    if not data.intensities_only or r.i_obs is None or r.sigma_i_obs is None:
        return data
    f_obs, sigma = french_wilson(
        r.crystal,
        r.hkl.numpy(),
        r.s2.numpy(),
        r.i_obs.numpy(),
        r.sigma_i_obs.numpy(),
        r.centric.numpy(),
        r.epsilon.numpy(),
    )
    amplitudes = replace(r, f_obs=torch.from_numpy(f_obs), sigma_f_obs=torch.from_numpy(sigma))
    return replace(data, reflections=amplitudes)


def _in_crystal(model: ModelFile, data: DiffractionData) -> gemmi.Structure:
    """The model's structure in the cell and space group of the data."""
    structure = model.structure.clone()
    structure.cell = data.reflections.crystal.unit_cell
    structure.spacegroup_hm = data.reflections.crystal.space_group
    structure.setup_cell_images()
    return structure


def refinement_settings(options: RefineOptions, labels: AtomLabels | None = None) -> RefinementSettings:
    """The engine's settings; `labels` name the atoms that a file of TLS groups speaks of.

    Contacts count as much as torsions: what draws these to where they usually are must not press atoms together.
    """
    groups: tuple[tuple[int, ...], ...] = ()
    if options.tls not in ("none", "auto"):
        if labels is None:
            raise InputError(f"--tls {options.tls}: here groups are by chain only; use auto or none")
        groups = read_tls_groups(Path(options.tls), labels)
    return RefinementSettings(
        cycles=options.cycles,
        weight=options.weight,
        xyz=options.positions,
        adp=options.adp,
        occupancies=options.occupancies,
        ncs={"auto": None, "on": True, "off": False}[options.ncs],
        jelly_body=options.jelly_body,
        secondary_structure=holds_secondary_structure(options),
        reference_weight=reference_weight(options.resolution or 0.0),
        ramachandran_weight=options.ramachandran,
        rotamer_weight=options.chi,
        geometry=GeometryWeights(contact=max(1.0, options.ramachandran, options.chi)),
        tls="given" if groups else "chain" if options.tls == "auto" else "none",
        tls_groups=groups,
        rigid_cycles=options.rigid_body,
        domain_cycles=options.rigid_body if options.rigid_domains is None else options.rigid_domains,
        seed=options.seed,
    )


def holds_secondary_structure(options: RefineOptions) -> bool:
    """Whether helices and strands are held together: as asked, or where maps do not show their hydrogen bonds."""
    if options.secondary_structure != "auto":
        return options.secondary_structure == "on"
    return options.data is None and (options.resolution or 0.0) > SECONDARY_STRUCTURE_D_MIN


def reference_weight(resolution: float) -> float:
    """Factor on restraints to a reference model: one at 3 Å, growing with the square of the resolution (Å)."""
    return min(max(resolution / 3.0, 0.5), 2.0) ** 2


SECONDARY_STRUCTURE_D_MIN = 3.5  # Å; better maps show hydrogen bonds, and fewer restraints leave more to judge by


def data_term(
    options: RefineOptions, data: DiffractionData, elements: Iterable[str], listener: Listener
) -> CrystalTerm:
    """The measured data as the engine sees them; `elements` are those of the model."""
    reflections = data.reflections
    return CrystalTerm(
        reflections,
        target=_target(options, reflections, listener),
        settings=CrystalSettings(
            radiation=Radiation(options.radiation),
            shells=report_shells(reflections),
            dispersion=_dispersion(options, data, elements, listener),
        ),
        listener=listener,
        device=chosen_device(options.device),
    )


def _dispersion(
    options: RefineOptions, data: DiffractionData, elements: Iterable[str], listener: Listener
) -> dict[str, tuple[float, float]] | None:
    """f′ and f″ by element; f″ only for Bijvoet pairs, and None where neither was asked for."""
    anomalous = options.target == "anomalous"
    wavelength = options.wavelength or (data.wavelength if anomalous else None)
    measured = {p[0]: (float(p[1]), float(p[2])) for p in (item.split(",") for item in options.dispersion)}
    if wavelength is None and not measured:
        if anomalous:
            raise InputError(
                f"{data.source}: no wavelength in the file; give --wavelength or --dispersion ELEMENT,f′,f″"
            )
        return None
    found = {**(dispersion_at(elements, wavelength) if wavelength is not None else {}), **measured}
    told = "; ".join(f"{name} {real:.2f} {imaginary:.2f}" for name, (real, imaginary) in sorted(found.items()))
    listener(Message(f"f′ f″ in e⁻{f' at {wavelength:.4f} Å' if wavelength is not None else ''}: {told}"))
    return found if anomalous else {name: (real, 0.0) for name, (real, _) in found.items()}


def _target(options: RefineOptions, reflections: Reflections, listener: Listener) -> Target:
    if options.twin:
        if options.target != "ml":
            raise InputError(f"--target {options.target}: twinned data are refined by maximum likelihood only; use ml")
        return twin_target(reflections, listener)
    return TARGETS[options.target](reflections)


def report_shells(reflections: Reflections) -> int:
    """Number of resolution shells to report: about forty free reflections in each, 5 to 20."""
    n_free = int((reflections.free & reflections.f_obs.isfinite()).sum())
    return max(5, min(20, n_free // 40))


def twin_target(reflections: Reflections, listener: Listener) -> Target:
    """The target of twinned data, with every law that the lattice allows."""
    laws = twin_laws(reflections.crystal)
    if not laws:
        raise InputError(
            f"--twin: no twin law goes with {reflections.crystal.space_group} and this cell (the lattice has no higher "
            "symmetry than the crystal); leave --twin out"
        )
    listener(Message(f"twin laws: {'; '.join(laws)}"))
    for text in _flags_across_twins(reflections, laws):
        listener(Message(text, "warning"))
    return TwinTarget(reflections, laws)


def _flags_across_twins(reflections: Reflections, laws: tuple[str, ...]) -> list[str]:
    """Warn where free reflections have twin mates in the working set: half of what they hold is refined against."""
    found = []
    hkl, free = reflections.hkl.numpy(), reflections.free.numpy()
    for law in laws:
        share = twin_agreement(hkl, free, gemmi.Op(law), reflections.crystal)
        if share < TOGETHER:
            found.append(
                f"free flags do not follow the twin law {law}: {share:.0%} of the twin mates of free reflections are "
                "free, so R-free is not independent; --new-free-flags makes flags that are"
            )
    return found


def refuse_no_working_data(data: DiffractionData) -> None:
    """At least a few reflections must be left for work."""
    r = data.reflections
    n_work = int((r.f_obs.isfinite() & ~r.free).sum())
    if n_work < 50:
        raise DataError(f"{data.source}: {n_work} reflections in the working set are too few to refine against")
