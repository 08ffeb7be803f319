-- No claim writes its batch while this is held, and each that comes later reads the queues anew: PostgreSQL takes a
-- statement's snapshot after its table locks. Claims are short, and so is what is done meanwhile.
LOCK TABLE jobs_claim IN SHARE ROW EXCLUSIVE MODE
