"""The type checker that pytest puts on every annotated function: beartype, with int accepted where float is asked."""

from beartype import BeartypeConf, beartype

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True))
