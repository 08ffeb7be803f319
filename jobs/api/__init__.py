"""REST: `/api/v1/` over submit, control, steering and the reads.

Views check shape and permission, the functions behind them decide; no view changes a row. Every error is
`application/problem+json` (RFC 9457).
"""
