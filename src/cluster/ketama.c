typedef int ketama_placeholder; /* so that the file is not empty */
