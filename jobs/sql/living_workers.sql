-- What a rescuer watches: a beat that does not move for a whole lease of the rescuer's own clock is a lost worker.
SELECT id, beat FROM jobs_workerprocess WHERE state IN ('live', 'draining')
