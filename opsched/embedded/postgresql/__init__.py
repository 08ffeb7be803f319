"""The Django database backend (`ENGINE = "opsched.embedded.postgresql"`); see `base`."""
