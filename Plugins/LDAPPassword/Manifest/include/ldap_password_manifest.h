/* Nothing is called here: this target only puts the plugin's manifest into the library (see manifest.c). */
