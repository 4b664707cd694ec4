-- What is known of an application's users: when one last wrote, and whether one stopped marketing.
-- A user is a keyed hash, so the table alone tells nobody's number. Rows are found by their key
-- only, and only where an operator or a key enforces the customer service window.

CREATE TABLE users (
  application   INTEGER NOT NULL REFERENCES applications (id),
  user          BLOB    NOT NULL CHECK (length(user) = 16),
  last_wrote_at INTEGER,
  opted_out_at  INTEGER,
  PRIMARY KEY (application, user)
) STRICT, WITHOUT ROWID;
