#include "cluster/view.h"
