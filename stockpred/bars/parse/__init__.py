"""Parsing of raw tables, as people have them, into bars."""

from stockpred.bars.parse.join import join_tables, parse_bars
from stockpred.bars.parse.raw import RawTable
from stockpred.bars.parse.table import ParsedTable, parse_table

__all__ = ["ParsedTable", "RawTable", "join_tables", "parse_bars", "parse_table"]
