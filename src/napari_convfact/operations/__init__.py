"""Operations: the parameters and the job of each thing a user can run."""
