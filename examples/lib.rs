//! Small programs over the libraries: see the files beside this one.
