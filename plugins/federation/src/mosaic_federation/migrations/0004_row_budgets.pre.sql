-- How many rows a grant has been given on a day, in UTC. Kept for those with a max_rows_per_day.
CREATE TABLE federation_row_budgets (
    grant_id uuid    NOT NULL REFERENCES federation_grants ON DELETE CASCADE,
    day      date    NOT NULL,
    rows     bigint  NOT NULL CHECK (rows >= 0),
    latest   bigint  NOT NULL,  -- rows of the latest reservation: lets one statement reserve and say how many
    PRIMARY KEY (grant_id, day)
);
CREATE INDEX federation_row_budgets_day ON federation_row_budgets (day);
