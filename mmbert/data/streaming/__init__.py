"""Tables whose pictures, sounds and features lie in large files elsewhere: shards in tar format, Parquet row groups."""
