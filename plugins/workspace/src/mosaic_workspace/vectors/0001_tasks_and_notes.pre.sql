-- requires: workspace>=1, core>=10
SELECT make_vectors('tasks', 384);
SELECT make_vectors('notes', 384);
