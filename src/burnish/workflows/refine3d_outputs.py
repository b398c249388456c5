"""What `burnish refine3d` writes, in RELION's layout and columns, so that RELION reads it and goes on from it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.data.density import DensityMap
from burnish.data.particles import Poses
from burnish.geometry.sampling import angular_step
from burnish.io.atomic import write_aside, write_text
from burnish.io.mrc import write_map
from burnish.io.particles import write_particles
from burnish.io.relion_sampling import relion_directions
from burnish.io.star import StarTable, make_table, write_star
from burnish.jobs.folder import Job
from burnish.options.refine3d import Refine3DOptions
from burnish.particles.expectation import Setup
from burnish.particles.reconstruct import crossing
from burnish.particles.refinement import Iteration
from burnish.particles.state import State, save_state
from burnish.workflows.refine3d_inputs import Inputs

_HISTORY = "run_history.json"


def checkpoint_of(optimiser: Path) -> Path:
    """The checkpoint that belongs to `run_itNNN_optimiser.star`."""
    name = Path(optimiser).name
    if not name.endswith("_optimiser.star"):
        raise DataError(f"{optimiser}: expected a file named run_itNNN_optimiser.star")
    path = Path(optimiser).with_name(name.replace("_optimiser.star", "_checkpoint.pt"))
    if not path.exists():
        raise DataError(f"{path}: no such checkpoint; only iterations that burnish wrote can be continued")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Writes the files of a refinement into its job folder."""

    options: Refine3DOptions
    inputs: Inputs
    setup: Setup
    job: Job
    symmetry: str

    def earlier_history(self, iteration: int) -> list[dict[str, float]]:
        """Numbers of the iterations before this one, where the folder has them."""
        source = self.options.continue_from
        path = Path(source).parent / _HISTORY if source is not None else self.job.path(_HISTORY)
        if iteration <= 1 or not path.exists():
            return []
        return list(json.loads(path.read_text(encoding="utf-8")))[: iteration - 1]

    def write_iteration(self, iteration: Iteration, history: list[dict[str, float]]) -> None:
        """Everything of one iteration; its optimiser file comes last, so that it names only what is there."""
        number = iteration.state.iteration - 1
        stem = f"run_it{number:03d}"
        self._data(f"{stem}_data.star", iteration)
        voxel = (self.setup.store.frame.pixel_size,) * 3
        for half in (0, 1):
            name = f"{stem}_half{half + 1}_class001.mrc"
            write_map(self.job.path(name), DensityMap(values=iteration.maps.halves[half], voxel_size=voxel))
            self._model(f"{stem}_half{half + 1}_model.star", iteration, half, name)
        self._model(f"{stem}_model.star", iteration, None, f"{stem}_half1_class001.mrc")
        self._sampling(f"{stem}_sampling.star", iteration)
        with write_aside(self.job.path(f"{stem}_checkpoint.pt")) as aside:
            save_state(iteration.state, aside)
        write_text(self.job.path(_HISTORY), json.dumps(history, indent=1) + "\n")
        self._optimiser(f"{stem}_optimiser.star", stem, iteration, number)

    def write_final(self, iteration: Iteration) -> None:
        """Results under their final names."""
        voxel = (self.setup.store.frame.pixel_size,) * 3
        for half in (0, 1):
            name = f"run_half{half + 1}_class001_unfil.mrc"
            write_map(self.job.path(name), DensityMap(values=iteration.maps.unfiltered[half], voxel_size=voxel))
        joined = iteration.maps.joined
        joined = iteration.maps.halves.mean(0) if joined is None else joined
        write_map(self.job.path("run_class001.mrc"), DensityMap(values=joined, voxel_size=voxel))
        self._data("run_data.star", iteration)
        self._model("run_model.star", iteration, None, "run_class001.mrc")
        self._sampling("run_sampling.star", iteration)

    def _data(self, name: str, iteration: Iteration) -> None:
        state, tally, particles = iteration.state, iteration.tally, self.inputs.file.particles
        rows = self.inputs.rows
        pixel = torch.tensor([g.pixel_size for g in particles.optics], dtype=torch.float64)[
            particles.optics_index[rows]
        ]
        shift = (state.centre + state.shift) * pixel[:, None]
        d = particles.defocus
        now = dataclasses.replace(
            particles,
            stack=particles.stack[rows],
            slice_index=particles.slice_index[rows],
            optics_index=particles.optics_index[rows],
            defocus=type(d)(**{f.name: getattr(d, f.name)[rows] for f in dataclasses.fields(d)}),
            poses=Poses(rotation=state.rotation, shift=shift),
            half_set=self.inputs.half_set,
            micrograph=particles.micrograph[rows],
            group=self.setup.store.particles.group,
            coordinate=particles.coordinate[rows],
        )
        kept = torch.bincount(state.modes.owner, minlength=len(rows)) if len(state.modes) else torch.zeros(len(rows))
        columns = {
            "rlnGroupNumber": (self.setup.store.particles.group + 1).tolist(),
            "rlnClassNumber": [1] * len(rows),
            "rlnNormCorrection": state.norm.tolist(),
            "rlnLogLikeliContribution": tally.log_likelihood.tolist(),
            "rlnMaxValueProbDistribution": tally.max_weight.tolist(),
            "rlnNrOfSignificantSamples": [int(k) for k in kept],
        }
        dimension = {"rlnImageDimensionality": [2] * len(particles.optics)}
        write_particles(
            self.job.path(name), self.inputs.file, now, rows=rows, columns=columns, optics_columns=dimension
        )

    def _model(self, name: str, iteration: Iteration, half: int | None, map_name: str) -> None:
        state, maps, frame = iteration.state, iteration.maps, self.setup.store.frame
        n = frame.size
        tally = iteration.tally
        mine = torch.ones(len(state.norm), dtype=torch.bool) if half is None else self.inputs.half_set == half
        resolution = frame.d_min(crossing(maps.fsc, 0.143))
        general = {
            "rlnReferenceDimensionality": 3,
            "rlnDataDimensionality": 2,
            "rlnOriginalImageSize": n,
            "rlnCurrentResolution": resolution,
            "rlnCurrentImageSize": min(n, 2 * iteration.plan.radius + 2),
            "rlnPaddingFactor": 2.0,
            "rlnIsHelix": 0,
            "rlnFourierSpaceInterpolator": 1,
            "rlnMinRadiusNnInterpolation": 10,
            "rlnPixelSize": frame.pixel_size,
            "rlnNrClasses": 1,
            "rlnNrBodies": 1,
            "rlnNrGroups": state.scale.shape[1],
            "rlnNrOpticsGroups": state.sigma2.shape[1],
            "rlnTau2FudgeFactor": 1.0,
            "rlnNormCorrectionAverage": 1.0,
            "rlnSigmaOffsetsAngst": float(state.sigma_shift.mean() if half is None else state.sigma_shift[half]),
            "rlnOrientationalPriorMode": 0,
            "rlnSigmaPriorRotAngle": 0.0,
            "rlnSigmaPriorTiltAngle": 0.0,
            "rlnSigmaPriorPsiAngle": 0.0,
            "rlnLogLikelihood": float(tally.log_likelihood[mine].sum()),
            "rlnAveragePmax": float(tally.max_weight[mine].mean()),
        }
        turn = math.degrees(_or_zero(tally.turn_deviation[mine].nanmedian()))
        classes: dict[str, Iterable[object]] = {
            "rlnReferenceImage": [str(self.job.path(map_name))],
            "rlnClassDistribution": [1.0],
            "rlnAccuracyRotations": [turn],
            "rlnAccuracyTranslationsAngst": [_or_zero(tally.slide_deviation[mine].nanmedian())],
            "rlnEstimatedResolution": [resolution],
            "rlnOverallFourierCompleteness": [float((maps.weight > 0).double().mean())],
        }
        tables = [
            _pairs("model_general", general),
            make_table("model_classes", classes),
            make_table("model_class_1", self._shells(iteration)),
            self._groups(state, mine, half),
            *self._noise(state, half),
            make_table("model_pdf_orient_class_1", {"rlnOrientationDistribution": self._view_shares(iteration, mine)}),
        ]
        write_star(self.job.path(name), tables)

    def _shells(self, iteration: Iteration) -> dict[str, list[Any]]:
        maps, frame = iteration.maps, self.setup.store.frame
        n = frame.size
        shells = range(frame.shells)
        # RELION's transform is scaled by 1/N² (2D) and its noise is that of one real component: σ²_RELION = σ² / (2 N⁴)
        sigma2 = torch.where(maps.weight > 0, 1.0 / maps.weight.clamp(min=1e-30), 0.0) / (2.0 * n**4)
        ssnr = maps.ssnr.clamp(max=999.0)
        return {
            **_shell_columns(frame.size * frame.pixel_size, shells),
            "rlnSsnrMap": ssnr.tolist(),
            "rlnGoldStandardFsc": maps.fsc.tolist(),
            "rlnFourierCompleteness": (maps.weight > 0).double().tolist(),
            "rlnReferenceSigma2": sigma2.tolist(),
            "rlnReferenceTau2": (ssnr * sigma2).tolist(),
        }

    def _groups(self, state: State, mine: Tensor, half: int | None) -> StarTable:
        group = self.setup.store.particles.group
        count = torch.bincount(group[mine], minlength=state.scale.shape[1])
        scale = state.scale.mean(0) if half is None else state.scale[half]
        return make_table(
            "model_groups",
            {
                "rlnGroupNumber": list(range(1, len(scale) + 1)),
                "rlnGroupName": [f"group_{g + 1}" for g in range(len(scale))],
                "rlnGroupNrParticles": count.tolist(),
                "rlnGroupScaleCorrection": scale.tolist(),
            },
        )

    def _noise(self, state: State, half: int | None) -> list[StarTable]:
        frame = self.setup.store.frame
        optics = self.inputs.file.particles.optics
        sigma2 = state.sigma2.mean(0) if half is None else state.sigma2[half]
        particles = self.setup.store.particles
        optics_of = torch.zeros(state.scale.shape[1], dtype=torch.int64)
        optics_of[particles.group] = (
            particles.optics_index
        )  # RELION keeps a spectrum for each group, we for each optics
        tables = []
        for number, g in enumerate(optics_of.tolist()):
            gain = (optics[g].pixel_size / frame.pixel_size) ** 2  # images were brought to the map's pixel
            scaled = sigma2[g] / (2.0 * optics[g].box_size ** 4 * gain**2)
            columns = _shell_columns(frame.size * frame.pixel_size, range(frame.shells))
            tables.append(make_table(f"model_group_{number + 1}", {**columns, "rlnSigma2Noise": scaled.tolist()}))
        return tables

    def _view_shares(self, iteration: Iteration, mine: Tensor) -> list[float]:
        """Share of the particles that look along each direction of the sampling file."""
        towards, _, _ = relion_directions(_sampled_order(iteration), self.symmetry)
        nearest = []
        for views in iteration.state.rotation[mine, 2, :].split(1024):
            mates = torch.einsum("ni,mij->nmj", views, self.setup.operators)
            nearest.append((mates @ towards.T).amax(1).argmax(1))
        count = torch.bincount(torch.cat(nearest), minlength=len(towards)).double()
        return (count / count.sum()).tolist()

    def _sampling(self, name: str, iteration: Iteration) -> None:
        pixel = self.setup.store.frame.pixel_size
        order = _sampled_order(iteration)
        step = math.degrees(angular_step(order))
        offset_range, offset_step = self.setup.offset_range * pixel, self.setup.offset_step * pixel
        general = {
            "rlnIs3DSampling": 1,
            "rlnIs3DTranslationalSampling": 0,
            "rlnHealpixOrder": order,
            "rlnSymmetryGroup": self.symmetry,
            "rlnTiltAngleLimit": -91.0,
            "rlnPsiStep": step,
            "rlnOffsetRange": offset_range,
            "rlnOffsetStep": offset_step,
            "rlnHelicalOffsetStep": -1.0,
            "rlnSamplingPerturbInstance": 0.0,
            "rlnSamplingPerturbFactor": 0.5,
            "rlnHealpixOrderOriginal": order,
            "rlnPsiStepOriginal": step,
            "rlnOffsetRangeOriginal": offset_range,
            "rlnOffsetStepOriginal": offset_step,
        }
        _, rot, tilt = relion_directions(order, self.symmetry)
        columns = {"rlnAngleRot": rot.tolist(), "rlnAngleTilt": tilt.tolist()}
        write_star(
            self.job.path(name), [_pairs("sampling_general", general), make_table("sampling_directions", columns)]
        )

    def _optimiser(self, name: str, stem: str, iteration: Iteration, number: int) -> None:
        tally, state, o = iteration.tally, iteration.state, self.options
        path = self.job.path
        frame = self.setup.store.frame
        general = {
            "rlnOutputRootName": str(path("run")),
            "rlnModelStarFile": str(path(f"{stem}_half1_model.star")),
            "rlnModelStarFile2": str(path(f"{stem}_half2_model.star")),
            "rlnExperimentalDataStarFile": str(path(f"{stem}_data.star")),
            "rlnOrientSamplingStarFile": str(path(f"{stem}_sampling.star")),
            "rlnCurrentIteration": number,
            "rlnNumberOfIterations": o.max_iterations,
            "rlnDoSplitRandomHalves": 1,
            "rlnJoinHalvesUntilThisResolution": float(o.join_halves) if o.join_halves > 0 else -1.0,
            "rlnAdaptiveOversampleOrder": 1,
            "rlnAdaptiveOversampleFraction": 0.999,
            "rlnRandomSeed": o.seed,
            "rlnParticleDiameter": float(o.mask_diameter or 0.0),
            "rlnWidthMaskEdge": 5,
            "rlnDoZeroMask": int(o.zero_mask),
            "rlnDoSolventFlattening": 1,
            "rlnDoSolventFscCorrection": int(o.solvent_flattened_fsc),
            "rlnSolventMaskName": str(o.mask or "None"),
            "rlnSolventMask2Name": "None",
            "rlnTauSpectrumName": "None",
            "rlnMaximumCoarseImageSize": -1,
            "rlnHighresLimitExpectation": -1.0,
            "rlnIncrementImageSize": 10,
            "rlnDoMapEstimation": 1,
            "rlnDoAutoRefine": 1,
            "rlnAutoLocalSearchesHealpixOrder": 4,
            "rlnNumberOfIterWithoutResolutionGain": state.progress.gained,
            "rlnBestResolutionThusFar": 1.0 / frame.d_min(max(state.progress.shell, 1.0)),
            "rlnNumberOfIterWithoutChangingAssignments": 0,
            "rlnDoSkipAlign": 0,
            "rlnDoSkipRotate": 0,
            "rlnOverallAccuracyRotations": math.degrees(_or_zero(tally.turn_deviation.nanmedian())),
            "rlnOverallAccuracyTranslationsAngst": _or_zero(tally.slide_deviation.nanmedian()),
            "rlnChangesOptimalOrientations": state.progress.turned_deg,
            "rlnChangesOptimalOffsets": 999.0,
            "rlnChangesOptimalClasses": 0.0,
            "rlnSmallestChangesOrientations": state.progress.turned_deg,
            "rlnSmallestChangesOffsets": 999.0,
            "rlnSmallestChangesClasses": 0,
            "rlnHasConverged": int(iteration.plan.stage == "last"),
            "rlnHasHighFscAtResolLimit": int(float(iteration.maps.fsc[iteration.plan.radius]) > 0.2),
            "rlnHasLargeSizeIncreaseIterationsAgo": 0,
            "rlnDoCorrectNorm": int(o.norm_correction),
            "rlnDoCorrectScale": int(o.scale_correction),
            "rlnDoCorrectCtf": int(o.ctf_correction),
            "rlnDoIgnoreCtfUntilFirstPeak": int(o.ignore_ctf_until_first_peak),
            "rlnCtfDataArePhaseFlipped": int(o.phase_flipped),
            "rlnDoOnlyFlipCtfPhases": 0,
            "rlnRefsAreCtfCorrected": int(o.reference_ctf_corrected),
            "rlnFixSigmaNoiseEstimates": 0,
            "rlnFixSigmaOffsetEstimates": 0,
            "rlnMaxNumberOfPooledParticles": 3,
        }
        write_star(path(name), [_pairs("optimiser_general", general)])


def _sampled_order(iteration: Iteration) -> int:
    """HEALPix order that the files name: at order 1 RELION's icosahedral cones hold no direction at all."""
    return max(2, iteration.plan.order)


def _pairs(name: str, values: dict[str, Any]) -> StarTable:
    return make_table(name, {k: [v] for k, v in values.items()}, is_loop=False)


def _shell_columns(box_length: float, shells: range) -> dict[str, list[Any]]:
    return {
        "rlnSpectralIndex": list(shells),
        "rlnResolution": [s / box_length for s in shells],
        "rlnAngstromResolution": [999.0 if s == 0 else box_length / s for s in shells],
    }


def _or_zero(value: Tensor) -> float:
    number = float(value)
    return number if math.isfinite(number) else 0.0
