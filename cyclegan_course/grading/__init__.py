"""Grading folders of submitted notebooks: `cyclegan-course grade SUBMISSIONS/`.

    submissions   which students there are, and which notebooks each handed in
    plan          what of a notebook has to run for its exercises to be graded
    worker        the process in which one notebook runs, under guard
    landlock      what Linux itself refuses that process
    guard         what Python refuses it, everywhere
    tampering     whether an answer has changed the checker
    processes     memory and life of a process and of all that it started
    supervisor    starts the worker, watches it, starts another where one ended
    results       what is known of a submission, kept on disk
    tables, pages what the instructor and the student read

The worker imports this package before it is confined: nothing heavy belongs here.
"""
