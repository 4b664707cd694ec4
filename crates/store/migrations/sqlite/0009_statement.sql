-- A statement goes by the time of each movement. Holds, what a send's own answer did to them, and wallet
-- movements stand in the journal about when they happened; what happened to a message later does not.
CREATE INDEX leg_movements_by_time ON leg_movements (at);
CREATE INDEX resolutions_by_time ON resolutions (at);
