#include "cluster/swim.h"
