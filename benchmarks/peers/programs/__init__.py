"""One program a peer, run by the peers' own Python with this folder on its path; never imported by ours."""
