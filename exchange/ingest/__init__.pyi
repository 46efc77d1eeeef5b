from .importing import FORMATS, IngestPlan, IngestReceipt, ingest_file

__all__ = ["FORMATS", "IngestPlan", "IngestReceipt", "ingest_file"]
