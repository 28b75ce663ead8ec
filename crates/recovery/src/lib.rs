//! Recovery points of Afterimage: layers, the manifest chain, the point reader.
