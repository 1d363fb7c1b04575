#include "cluster/ring.h"
