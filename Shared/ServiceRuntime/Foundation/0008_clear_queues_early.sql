-- Tables whose rows go again soon: what is dead is cleared away by count, not by a share of a size that they once had.
alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000);
alter table idempotency_key set (autovacuum_vacuum_scale_factor = 0.02);
alter table limit_counter set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
