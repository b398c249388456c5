"""Categories of the assembly: what symmetry makes of the model, and no longer what it made of another one."""

from __future__ import annotations

import gemmi

from burnish.io.deposition.categories import Categories, one_row, rows

CATEGORIES = ("pdbx_struct_assembly", "pdbx_struct_assembly_gen", "pdbx_struct_assembly_prop", "pdbx_struct_oper_list",
              "pdbx_struct_assembly_auth_evidence")  # fmt: skip
COUNTED = {1: "monomeric", 2: "dimeric", 3: "trimeric", 4: "tetrameric", 5: "pentameric", 6: "hexameric",
           7: "heptameric", 8: "octameric", 9: "nonameric", 10: "decameric", 12: "dodecameric",
           24: "24-meric", 60: "60-meric"}  # fmt: skip


def check_assemblies(categories: Categories) -> None:
    """Drop assemblies that name chains which the model does not have: they were those of another model."""
    made = {str(i) for i in categories.get("struct_asym", {}).get("id", [])}
    lists = categories.get("pdbx_struct_assembly_gen", {}).get("asym_id_list", [])
    if any(set(str(text).replace(" ", "").split(",")) - made for text in lists):
        for name in CATEGORIES:
            categories.pop(name, None)


def point_assembly(categories: Categories, structure: gemmi.Structure) -> None:
    """The whole particle: every chain by each of the operators, the identity first, that the structure carries."""
    given = [op for op in structure.ncs if not op.tr.is_identity()]
    operators = [gemmi.Transform(), *(op.tr for op in given)]
    asym = [str(i) for i in categories["struct_asym"]["id"]]
    polymers = sum(len(e.subchains) for e in structure.entities if e.entity_type == gemmi.EntityType.Polymer)
    count = polymers * len(operators)
    for name in CATEGORIES:
        categories.pop(name, None)
    categories["pdbx_struct_assembly"] = one_row(
        {"id": "1", "details": "complete point assembly", "method_details": None,
         "oligomeric_details": COUNTED.get(count, f"{count}-meric"), "oligomeric_count": str(count)}
    )  # fmt: skip
    categories["pdbx_struct_assembly_gen"] = one_row(
        {"assembly_id": "1", "oper_expression": f"1-{len(operators)}" if given else "1", "asym_id_list": ",".join(asym)}
    )
    table: list[tuple[object, ...]] = []
    for k, tr in enumerate(operators, start=1):
        kind = "identity operation" if k == 1 else "point symmetry operation"
        line: list[object] = []
        for i in range(3):
            line += [
                *(f"{round(v, 8) + 0.0:.8f}" for v in tr.mat.tolist()[i]),
                f"{round(tr.vec.tolist()[i], 5) + 0.0:.5f}",
            ]
        table.append((k, kind, None, *line))
    items = [f"matrix[{i}][{j}]" if j < 4 else f"vector[{i}]" for i in (1, 2, 3) for j in (1, 2, 3, 4)]
    categories["pdbx_struct_oper_list"] = rows(("id", "type", "name", *items), table)
