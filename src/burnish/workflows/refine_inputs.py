"""What `burnish refine` reads for a crystal: read, checked against each other, and made ready for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import torch

from burnish.chemistry.library import Library
from burnish.chemistry.topology import Topology
from burnish.core.errors import DataError, InputError
from burnish.core.events import Listener, Message
from burnish.data.reflections import Reflections
from burnish.io.free_flags import twin_agreement
from burnish.io.models import ModelFile, agree_on_crystal, read_model
from burnish.io.reflections import DataRequest, DiffractionData, read_reflections
from burnish.models.anomalous_target import AnomalousTarget
from burnish.models.crystal_term import CrystalSettings, CrystalTerm
from burnish.models.french_wilson import french_wilson
from burnish.models.intensity_target import IntensityTarget
from burnish.models.phased_target import PhasedTarget
from burnish.models.refinement_system import RefinableModel
from burnish.models.targets import AmplitudeTarget, LeastSquaresTarget, Target
from burnish.models.twin_target import TwinTarget
from burnish.models.twinning import twin_laws
from burnish.options.refine import RefineOptions
from burnish.scattering.dispersion import dispersion_at
from burnish.scattering.form_factors import Radiation
from burnish.workflows.device import chosen_device
from burnish.workflows.refine_model import restrained_model

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
