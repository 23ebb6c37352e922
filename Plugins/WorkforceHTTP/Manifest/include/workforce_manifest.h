/* The manifest of this plugin is a note in the library: see manifest.c. */
#ifndef WORKFORCE_MANIFEST_H
#define WORKFORCE_MANIFEST_H

#define WORKFORCE_VERSION "1.0.0"

#endif
