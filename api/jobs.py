"""`python -m api.jobs`: works on the shipped service's jobs."""

from api.privacy.jobs.process import main

if __name__ == "__main__":
    main()
