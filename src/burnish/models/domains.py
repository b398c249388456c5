"""Domains of a chain, seen from which residues touch which: bodies for rigid cycles and flexible fitting.

Residues are nodes of a graph whose edges are contacts of their Cα. It is cut in two where the fewest contacts are lost
beside those that stay (normalised cut, Shi & Malik 2000, IEEE TPAMI 22, 888), and the parts again, as long as a cut
crosses few contacts and leaves parts of the size of a domain.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from burnish.data.labels import AtomLabels
from burnish.geometry.near_points import near_pairs
from burnish.models.restraints.term import Array, Index, Mask

REACH = 9.0  # Å between Cα in contact
LEAST_RESIDUES = 35  # of a domain
HIGHEST_CUT = 0.08  # normalised cut above which two parts are one domain
SHORTEST = 10  # residues of a stretch that is a domain's although both ends of it are another's
_ALONG_CHAIN = 2.0  # weight of the contact with the next residue, so that chains are cut seldom


def find_domains(ca: Array) -> tuple[Index, ...]:
    """Residues of each domain of one chain.

    Parameters
    ----------
    ca : positions of Cα in the order of the chain, Å. (n, 3)

    Returns
    -------
    Indices into `ca`, domains in the order of their first residue.
    """
    n = len(ca)
    if n < 2 * LEAST_RESIDUES:
        return (np.arange(n),)
    pairs = near_pairs(ca, REACH)
    weight = np.where(np.abs(pairs[:, 0] - pairs[:, 1]) == 1, _ALONG_CHAIN, 1.0)
    graph = sp.coo_matrix((weight, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    graph = graph + graph.T
    owner = np.zeros(n, dtype=np.int64)
    for number, part in enumerate(_parted(graph, np.arange(n))):
        owner[part] = number
    owner = _without_short_stretches(owner)
    found = [np.flatnonzero(owner == number) for number in np.unique(owner)]
    return tuple(sorted(found, key=lambda part: int(part[0])))


def domain_atoms(labels: AtomLabels, xyz: Array) -> tuple[Index, ...]:
    """Atoms of each domain of each chain; what has no Cα goes with the nearest one of its chain.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    """
    from scipy.spatial import cKDTree  # takes long to import

    chain, names = np.array(labels.chain), np.array(labels.atom_name)
    groups = []
    for name in dict.fromkeys(labels.chain):
        members = np.flatnonzero(chain == name)
        ca = members[(names[members] == "CA") & (np.array([labels.residue_name[i] for i in members]) != "CA")]
        domains = find_domains(xyz[ca])
        if len(domains) == 1 or len(ca) == 0:
            groups.append(members)
            continue
        owner = np.zeros(len(ca), dtype=np.int64)
        for number, domain in enumerate(domains):
            owner[domain] = number
        residue = {(labels.number[i], labels.insertion[i]): owner[k] for k, i in enumerate(ca)}
        nearest = np.atleast_1d(cKDTree(xyz[ca]).query(xyz[members])[1])
        keys = [(labels.number[i], labels.insertion[i]) for i in members]
        of = np.array([residue.get(key, owner[k]) for key, k in zip(keys, nearest, strict=True)])
        groups += [members[of == number] for number in range(len(domains))]
    return tuple(groups)


def _without_short_stretches(owner: Index) -> Index:
    """Stretches between two of the same other domain go to it when they are short. (n,)"""
    result = owner.copy()
    while True:
        ends = np.flatnonzero(np.diff(result)) + 1
        starts = np.concatenate([[0], ends])
        stops = np.concatenate([ends, [len(result)]])
        short = [
            k
            for k in range(1, len(starts) - 1)
            if stops[k] - starts[k] < SHORTEST and result[starts[k] - 1] == result[stops[k]]
        ]
        if not short:
            return result
        k = min(short, key=lambda k: int(stops[k] - starts[k]))
        result[starts[k] : stops[k]] = result[stops[k]]


def _parted(graph: sp.csr_matrix, members: Index) -> list[Index]:
    """The members in as many parts as they fall into."""
    if len(members) < 2 * LEAST_RESIDUES:
        return [members]
    own = graph[members][:, members]
    cut = _best_cut(own)
    if cut is None:
        return [members]
    first, second = members[cut], members[~cut]
    return [*_parted(graph, first), *_parted(graph, second)]


def _best_cut(graph: sp.csr_matrix) -> Mask | None:
    """Members on one side of the best cut, or None where there is none worth it. (n,) bool"""
    degree = np.maximum(np.asarray(graph.sum(axis=1)).reshape(-1), 1e-9)
    root = 1.0 / np.sqrt(degree)
    normalised = sp.diags_array(root) @ graph @ sp.diags_array(root)
    _, vectors = np.linalg.eigh(normalised.toarray())
    order = np.argsort(vectors[:, -2] * root)
    # all cuts along the second eigenvector, the best with domains on both sides
    dense = graph.toarray()[np.ix_(order, order)]
    inside = np.cumsum(degree[order])
    crossing = np.cumsum(degree[order] - 2.0 * np.tril(dense, -1).sum(axis=1))
    total = inside[-1]
    value = crossing * (1.0 / inside + 1.0 / np.maximum(total - inside, 1e-9))
    allowed = slice(LEAST_RESIDUES - 1, len(order) - LEAST_RESIDUES)
    if value[allowed].size == 0:
        return None
    best = int(np.argmin(value[allowed])) + LEAST_RESIDUES - 1
    if value[best] > HIGHEST_CUT:
        return None
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[: best + 1]] = True
    return chosen
