"""The loop of refinement on a small peptide whose data are known exactly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from burnish.chemistry.hydrogens import make_riders
from burnish.core.events import Metrics
from burnish.data.atoms import Atoms
from burnish.data.labels import AtomLabels
from burnish.data.reflections import Crystal
from burnish.data.restraints import (
    Angles,
    Bonds,
    Chirals,
    ContactTypes,
    Images,
    Planes,
    Restraints,
    Torsions,
)
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataEvaluation, DataStatistics, DataTerm, FisherBlocks, FisherPairs
from burnish.models.gaussian_atoms import AtomGradient
from burnish.models.refinement import (
    CyclePlan,
    Kind,
    Stop,
    initial_state,
    iterate,
    normal_equations,
    plan_next,
    refine,
    refinement_step,
    state_arrays,
    state_from_arrays,
)
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinableModel, make_system
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.models.weight import Balance
from burnish.numerics.conjugate_gradients import solve_normal_equations
from burnish.scattering.form_factors import form_factors
from tests.models.crystals import reflections_to

N = 12


class Springs(DataTerm):
    """Data that know where the atoms are, with a quartic part so that one step is not enough."""

    def __init__(self, atoms: Atoms, stiffness: float = 50.0) -> None:
        self.truth, self.k = atoms, stiffness

    def prepare(self, atoms: Atoms) -> None:
        self.update_scaling(atoms)

    def update_scaling(self, atoms: Atoms) -> None:
        self.last = atoms

    def value(self, atoms: Atoms) -> float:
        d = atoms.xyz - self.truth.xyz
        b = atoms.b_iso - self.truth.b_iso
        return float(self.k * (0.5 * d.square() + 0.25 * d**4).sum() + 0.005 * b.square().sum())

    def evaluate(self, atoms: Atoms) -> DataEvaluation:
        n = len(atoms)
        d, b = atoms.xyz - self.truth.xyz, atoms.b_iso - self.truth.b_iso
        zero = torch.zeros(n, dtype=torch.float64)
        gradient = AtomGradient(
            xyz=self.k * (d + d**3), b_iso=0.01 * b, u_aniso=torch.zeros(n, 6, dtype=torch.float64), occ=zero
        )
        fisher = FisherBlocks(
            xyz=self.k * torch.eye(3, dtype=torch.float64).expand(n, 3, 3).clone(),
            b_iso=zero + 0.01,
            u_aniso=torch.zeros(n, 6, 6, dtype=torch.float64),
            occ=zero,
            b_occ=zero,
        )
        return DataEvaluation(value=self.value(atoms), gradient=gradient, fisher=fisher)

    def statistics(self) -> DataStatistics:
        rms = float((self.last.xyz - self.truth.xyz).square().mean().sqrt())
        return DataStatistics(
            r_work=rms, r_free=rms, cc_work=1.0, cc_free=1.0, free_value=rms, work_value=rms, outliers=0, k_sol=0.35,
            b_sol=46.0, overall_b=0.0, anisotropy=(0.0,) * 6, twin_fractions=(1.0,), shells=(), cc_expected=1.0,
        )  # fmt: skip


def _chain(n: int = N) -> tuple[Atoms, Restraints]:
    """A zigzag of carbon atoms in a plane, 1.53 Å and 112° apart."""
    half = 1.53 * np.sin(np.radians(56.0))
    up = 1.53 * np.cos(np.radians(56.0))
    xyz = torch.tensor([[i * half, up * (i % 2), 0.0] for i in range(n)], dtype=torch.float64)
    f = {"dtype": torch.float64}
    i2 = torch.tensor([[i, i + 1] for i in range(n - 1)])
    i3 = torch.tensor([[i, i + 1, i + 2] for i in range(n - 2)])
    near = sorted([(i, j) for i in range(n) for j in range(i + 1, min(i + 4, n))])
    none = torch.zeros(0, dtype=torch.int64)
    nothing = torch.zeros(0, **f)
    zero = torch.zeros(n - 1, dtype=torch.int64)
    bond = {"target": torch.full((n - 1,), 1.53, **f), "sigma": torch.full((n - 1,), 0.02, **f)}
    restraints = Restraints(
        n_atoms=n,
        bonds=Bonds(atoms=i2, target_nucleus=bond["target"], sigma_nucleus=bond["sigma"], image=zero,
            origin=zero, **bond),
        angles=Angles(
            atoms=i3, target=torch.full((n - 2,), np.radians(112.0), **f), sigma=torch.full((n - 2,), 0.04, **f),
            origin=zero[1:]
        ),
        torsions=Torsions(
            atoms=torch.zeros((0, 4), dtype=torch.int64), target=nothing, sigma=nothing, period=none,
            restrained=none.bool(), origin=none, names=(),
        ),
        planes=Planes(atoms=none, plane=none, sigma=nothing, origin=none),
        chirals=Chirals(
            atoms=torch.zeros((0, 4), dtype=torch.int64), target=nothing, sigma=nothing, either=none.bool(), origin=none
        ),
        images=Images(rotation=torch.eye(3, **f)[None], shift=torch.zeros(1, 3, **f)),
        contacts=ContactTypes(
            radius=torch.full((n,), 1.7, **f), united_radius=torch.full((n,), 1.9, **f),
            ion_radius=torch.full((n,), float("nan"), **f), role=torch.zeros(n, dtype=torch.int64),
            is_hydrogen=torch.zeros(n, dtype=torch.bool), is_metal=torch.zeros(n, dtype=torch.bool),
            conformer=torch.zeros(n, dtype=torch.int64), parent=torch.arange(n), near=torch.tensor(near),
            near_bonds=torch.tensor([j - i for i, j in near]),
        ),
    )  # fmt: skip
    atoms = Atoms(
        xyz=xyz,
        b_iso=torch.full((n,), 20.0, **f),
        u_aniso=torch.zeros(n, 6, **f),
        is_aniso=torch.zeros(n, dtype=torch.bool),
        occ=torch.ones(n, **f),
        elements=("C",) * n,
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.arange(n),
    )
    return atoms, restraints


@pytest.fixture
def problem():
    truth, restraints = _chain()
    generator = torch.Generator().manual_seed(3)
    start = replace(
        truth,
        xyz=truth.xyz + 0.3 * torch.randn(N, 3, generator=generator, dtype=torch.float64),
        b_iso=truth.b_iso + 5.0 * torch.randn(N, generator=generator, dtype=torch.float64),
    )
    model = RefinableModel(atoms=start, restraints=restraints, riders=make_riders(restraints, start.xyz), crystal=None)
    system = make_system(model, RefinementSettings(cycles=8, weight=1.0), d_min=2.0, n_observations=1000)
    return system, Springs(truth), start, truth


def test_truth_comes_back_and_the_start_is_unchanged(problem):
    system, data, start, truth = problem
    before = start.xyz.clone()
    events = []
    state = refine(system, data, events.append)
    assert torch.equal(start.xyz, before)
    assert float((state.atoms.xyz - truth.xyz).abs().max()) < 2e-3
    assert float((state.atoms.b_iso - truth.b_iso).abs().max()) < 0.5
    assert state.history[-1].geometry["bond_rmsz"] < 0.1
    assert [e.step for e in events if isinstance(e, Metrics)] == [r.cycle for r in state.history]


def test_the_target_falls_in_every_cycle(problem):
    system, data, *_ = problem
    state = initial_state(system, data)
    r = [state.history[-1].data["r_work"]]
    for later in iterate(state, system, data):
        r.append(later.history[-1].data["r_work"])
    assert r[1] < 0.5 * r[0]
    assert all(b <= a + 1e-6 for a, b in itertools.pairwise(r))


def test_a_state_that_was_saved_goes_on_the_same_way(problem):
    system, data, *_ = problem
    state = initial_state(system, data)
    state = refinement_step(state, system, data, CyclePlan(balance=Balance(data=1.0)))
    loaded = state_from_arrays(state_arrays(state), system)
    assert loaded.history == state.history
    one = refinement_step(state, system, data, CyclePlan(balance=Balance(data=1.0)))
    other = refinement_step(loaded, system, data, CyclePlan(balance=Balance(data=1.0)))
    assert torch.equal(one.atoms.xyz, other.atoms.xyz)


def test_it_stops_when_cycles_are_done_or_nothing_helps(problem):
    system, data, *_ = problem
    state = initial_state(system, data)
    assert isinstance(plan_next(state, system), CyclePlan)
    assert plan_next(state, replace(system, settings=RefinementSettings(cycles=0))) is Stop.OUT_OF_CYCLES
    stuck = replace(state.history[0], cycle=1, step=0.0)
    assert plan_next(replace(state, history=(stuck, replace(stuck, cycle=2))), system) is Stop.CONVERGED


def test_fixed_displacement_stays(problem):
    system, data, start, _ = problem
    fixed = replace(system, settings=RefinementSettings(cycles=2, weight=1.0, adp="fixed"))
    state = refine(fixed, data)
    assert torch.equal(state.atoms.b_iso, start.b_iso)
    assert not torch.equal(state.atoms.xyz, start.xyz)


def test_no_cycles_only_scores(problem):
    system, data, start, _ = problem
    state = refine(replace(system, settings=RefinementSettings(cycles=0)), data)
    assert torch.equal(state.atoms.xyz, start.xyz)
    assert len(state.history) == 1


def test_damping_bounds_steps_along_what_neighbours_do_not_share(problem):
    """Two atoms whose B the data can hardly tell apart: their sum is known, their difference is not."""
    _, data, start, _ = problem
    evaluation = data.evaluate(start)
    pairs = FisherPairs(
        atoms=torch.tensor([[0, 1]]),
        xyz=torch.zeros(1, 3, 3),
        b_iso=0.9999 * evaluation.fisher.b_iso[:1],
        xyz_b=torch.zeros(1, 3, dtype=torch.float64),
    )
    slope = replace(evaluation.gradient, b_iso=torch.zeros(N, dtype=torch.float64))
    slope.b_iso[0], slope.b_iso[1] = 0.01, -0.01  # Å²: a step of 1 up and down, were the atoms alone
    evaluation = replace(evaluation, pairs=pairs, gradient=slope)
    columns = sp.eye_array(N, 7 * N).T.tocsr()  # from B to B and U
    longest = []
    for ridge in (0.0, 0.1):
        equations = normal_equations(Kind.ADP, (), evaluation, columns, 2.0, ridge)
        step, _ = solve_normal_equations(equations.matrix, -equations.gradient, tolerance=1e-8)
        longest.append(float(np.abs(step).max()))
    assert longest[0] == pytest.approx(1e4, rel=0.01)
    assert longest[1] == pytest.approx(1.0 / 0.1001, rel=0.01)


def test_rigid_cycles_come_first_and_bring_a_shifted_model_back(problem):
    _, data, _, truth = problem
    turn = 0.05
    c, s = np.cos(turn), np.sin(turn)
    rotation = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    start = replace(truth, xyz=truth.xyz @ rotation.T + 0.7)
    restraints = problem[0].model.restraints
    model = RefinableModel(atoms=start, restraints=restraints, riders=make_riders(restraints, start.xyz), crystal=None)
    system = make_system(model, RefinementSettings(cycles=0, rigid_cycles=8), d_min=2.0, n_observations=1000)
    state = refine(system, data)
    assert float((state.atoms.xyz - truth.xyz).abs().max()) < 1e-2
    lengths = (state.atoms.xyz[1:] - state.atoms.xyz[:-1]).norm(dim=1)
    assert lengths.numpy() == pytest.approx(1.53, abs=1e-9)


def globule(centre: tuple[float, float, float], residues: int = 60) -> np.ndarray:
    """A chain folded back and forth into a block, 3.8 Å from residue to residue. (n, 3)"""
    layers = []
    for k in range(residues // 20):
        rows = [[(i if (j + k) % 2 == 0 else 4 - i, j if k % 2 == 0 else 3 - j, k) for i in range(5)] for j in range(4)]
        layers += [place for row in rows for place in row]
    xyz = 3.8 * np.array(layers, dtype=float)
    return xyz - xyz.mean(axis=0) + np.array(centre)


def test_domains_turn_about_their_hinge_after_the_chain():
    """Two globules of one chain, one of them turned by 6°: whole chains cannot mend it, domains do. Data to 3.5 Å."""
    rng = np.random.default_rng(5)
    ca = np.concatenate([globule((20.0, 16.0, 12.0)), globule((45.0, 17.0, 14.0))])
    xyz = (ca[:, None, :] + rng.normal(scale=1.0, size=(120, 4, 3)) * np.array([0, 1, 1, 1])[:, None]).reshape(-1, 3)
    n = len(xyz)
    atoms, restraints = _chain(n)
    truth = replace(atoms, xyz=torch.from_numpy(xyz), b_iso=torch.full((n,), 40.0).double())
    labels = AtomLabels(
        chain=("A",) * n, number=tuple(int(i) // 4 for i in range(n)), insertion=("",) * n,
        residue_name=("ALA",) * n, atom_name=("CA", "N", "C", "O") * 120,
    )  # fmt: skip
    turn = np.radians(6.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    hinge, moved = np.array([32.5, 16.5, 13.0]), xyz.copy()
    moved[240:] = (moved[240:] - hinge) @ rotation.T + hinge
    crystal = Crystal(cell=(66.0, 40.0, 36.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")
    r = reflections_to(crystal, 3.5)
    f = structure_factors(truth, form_factors(truth.elements), np.ones(n), plan_structure_factors(crystal, r.hkl)).abs()
    free = torch.from_numpy(rng.random(len(f)) < 0.1)
    data = CrystalTerm(replace(r, f_obs=f.double(), sigma_f_obs=0.05 * f.double() + 1.0, free=free))
    start = replace(truth, xyz=torch.from_numpy(moved))
    model = RefinableModel(
        atoms=start, restraints=restraints, riders=make_riders(restraints, start.xyz), crystal=None, labels=labels
    )
    settings = RefinementSettings(cycles=0, rigid_cycles=4, domain_cycles=8, ncs=False)
    system = make_system(model, settings, d_min=3.5, n_observations=1000)
    assert [len(g) for g in system.domain_groups] == [240, 240]
    state = refine(system, data)
    rms = [float((a - truth.xyz).square().sum(dim=1).mean().sqrt()) for a in (start.xyz, state.atoms.xyz)]
    r_work = [record.data["r_work"] for record in state.history]
    assert rms[0] > 0.8 and rms[1] < 0.1
    assert r_work[4] > 0.12 and r_work[-1] < 0.5 * r_work[4]  # after the chain; after the domains
    none = make_system(model, replace(settings, domain_cycles=0), d_min=3.5, n_observations=1000)
    assert none.domain_groups == ()
