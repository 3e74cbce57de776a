"""What all stages need to run: settings and store, fingerprints, reuse, measurements, scratch directories.

Promises: a stage with an equal fingerprint is not run again; what a killed stage leaves is never used.
"""

from tasks.runs.fingerprint import build_document, explain_difference, source_of
from tasks.runs.kept_phases import KeptPhases
from tasks.runs.measurements import (
    Finding,
    MeasurementCall,
    Usable,
    find_measurement,
    measure_once,
    spend_attempt,
)
from tasks.runs.pipeline import Pipeline
from tasks.runs.scratch import new_directories, temporary_directory
from tasks.runs.stage import Hit, Made, Miss, StageCall, StageResult, look_up, run_stage

__all__ = [
    "Finding",
    "Hit",
    "KeptPhases",
    "Made",
    "MeasurementCall",
    "Miss",
    "Pipeline",
    "StageCall",
    "StageResult",
    "Usable",
    "build_document",
    "explain_difference",
    "find_measurement",
    "look_up",
    "measure_once",
    "new_directories",
    "run_stage",
    "source_of",
    "spend_attempt",
    "temporary_directory",
]
