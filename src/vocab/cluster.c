#include "vocab/cluster.h"
