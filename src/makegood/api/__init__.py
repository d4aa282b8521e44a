"""The HTTP API: routes over the engine's facade, and the server that offers them.

`table` lists every route, who may use it and what it answers; `door` is what each request passes on its
way in; `serving` runs it all. What a request does to an execution is the engine's business.
"""
