// Who starts a server needs its folder and its processes as well.
@_exported public import Workbench
