"""Bond valences: what the distances around an ion say of its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SOFTNESS = 0.37  # Å


@dataclass(frozen=True, slots=True, kw_only=True)
class IonKind:
    """An ion that structures of macromolecules hold.

    Attributes
    ----------
    component, element : names.
    valence : its charge.
    lengths : R₀ by element of the partner, Å: the length of a bond of valence 1.
    fewest : partners that it has at least.
    electrons : its own.
    """

    component: str
    element: str
    valence: int
    lengths: Mapping[str, float]
    fewest: int
    electrons: int


# R₀ of Brese & O'Keeffe (1991), Acta Cryst. B47, 192-197, tables 1 and 2; at the distances of Harding (2006) in
# `chemistry.metals` and the usual coordination they give the valence within 20 %, which the tests hold.
CATIONS: tuple[IonKind, ...] = (
    IonKind(component="NA", element="Na", valence=1, lengths={"O": 1.80}, fewest=5, electrons=10),
    IonKind(component="MG", element="Mg", valence=2, lengths={"O": 1.693}, fewest=5, electrons=10),
    IonKind(component="K", element="K", valence=1, lengths={"O": 2.13}, fewest=5, electrons=18),
    IonKind(component="CA", element="Ca", valence=2, lengths={"O": 1.967}, fewest=5, electrons=18),
    IonKind(
        component="MN", element="Mn", valence=2, lengths={"O": 1.790, "N": 1.87, "S": 2.22}, fewest=4, electrons=23
    ),
    IonKind(
        component="ZN", element="Zn", valence=2, lengths={"O": 1.704, "N": 1.77, "S": 2.09}, fewest=4, electrons=28
    ),
)


def bond_valence(kind: IonKind, partner: str, distance: float) -> float:
    """Valence of one bond, exp((R₀ − d)/0.37); 0 for partners that the ion does not take.

    Examples
    --------
    >>> round(6 * bond_valence(CATIONS[1], "O", 2.09), 1)
    2.1
    """
    length = kind.lengths.get(partner)
    return 0.0 if length is None else math.exp((length - distance) / SOFTNESS)
