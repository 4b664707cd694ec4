-- Time zones that Meta tells, beside those that operators set.

-- What an operator set, or null. UTC was what an application began with, so that nobody can tell
-- where it was meant: it counts as not set.
ALTER TABLE applications ADD COLUMN operator_timezone TEXT;
UPDATE applications SET operator_timezone = timezone WHERE timezone <> 'UTC';
ALTER TABLE applications DROP COLUMN timezone;
ALTER TABLE applications RENAME COLUMN operator_timezone TO timezone;

-- Meta's number of the account's zone, as last told; whether it is known is the reader's to say.
ALTER TABLE applications ADD COLUMN meta_timezone_id TEXT;
