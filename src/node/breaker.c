#include "node/breaker.h"
