-- requires: core>=2

CREATE TABLE tasks (
    title        text NOT NULL CHECK (length(title) BETWEEN 1 AND 500),
    body         text NOT NULL DEFAULT '',
    status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'doing', 'done', 'cancelled')),
    priority     smallint CHECK (priority BETWEEN 0 AND 9),
    due_at       timestamptz,
    completed_at timestamptz,
    tags         text[] NOT NULL DEFAULT '{}'
);
SELECT make_resource('tasks', '{title, body}');

CREATE TABLE notes (
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 500),
    body  text NOT NULL DEFAULT '',
    tags  text[] NOT NULL DEFAULT '{}'
);
SELECT make_resource('notes', '{title, body}');
