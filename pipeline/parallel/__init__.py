"""Units of work side by side: in threads of this machine, or on a Dask cluster.

A unit is a function at the top level of a module whose arguments and result are small: it reads its
data itself, by a location and a hash. Only this package names Dask.
"""
