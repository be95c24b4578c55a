"""Fields that are about a person, masked for those who may not see them.

A field says so in its type: `Annotated[str, msgspec.Meta(extra={"personal": True})]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from msgspec import inspect

MASK = "•••"
"""What stands in the place of a personal value."""


def masked(value: Any, kind: Any) -> Any:
    """The JSON value of this type, without what is personal in it. A value of no known type is masked as a whole."""
    if kind is None:
        return MASK
    try:
        return _masked(value, _type_of(kind))
    except (TypeError, NameError):  # a type of which msgspec knows nothing
        return MASK


@lru_cache(maxsize=1000)
def _type_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def is_personal(kind: inspect.Metadata) -> bool:
    """Whether a type says of itself that it is personal."""
    return bool(cast("Mapping[str, Any]", getattr(kind, "extra", None) or {}).get("personal"))


def _masked(value: Any, kind: inspect.Type) -> Any:
    match kind:
        case inspect.Metadata():
            return MASK if is_personal(kind) and value is not None else _masked(value, kind.type)
        case inspect.AnyType() | inspect.CustomType() | inspect.RawType():  # nobody says what may be in it
            return None if value is None else MASK
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType() if isinstance(value, dict):
            kinds = {field.encode_name: field.type for field in kind.fields}
            members = cast("dict[str, Any]", value)
            return {name: _masked(member, kinds[name]) if name in kinds else member for name, member in members.items()}
        case inspect.StructType() | inspect.NamedTupleType() if isinstance(value, list | tuple):
            items = cast("Sequence[Any]", value)
            tags = 1 if isinstance(kind, inspect.StructType) and kind.tag is not None else 0
            rest = zip(items[tags:], kind.fields, strict=False)
            return [*items[:tags], *(_masked(item, field.type) for item, field in rest)]
        case inspect.DictType(value_type=inner) if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            return {name: _masked(member, inner) for name, member in members.items()}
        case inspect.TupleType(item_types=kinds) if isinstance(value, list | tuple):
            items = cast("Sequence[Any]", value)
            return [_masked(item, inner) for item, inner in zip(items, kinds, strict=False)]
        case inspect.CollectionType(item_type=inner) if isinstance(value, list | tuple):
            return [_masked(item, inner) for item in cast("Sequence[Any]", value)]
        case inspect.UnionType(types=kinds):
            for each in kinds:
                value = _masked(value, each)
            return value
        case _:
            return value
