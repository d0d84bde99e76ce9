import { z } from 'zod';

// The window's content policy forbids making code from text, which zod would otherwise try; this module
// has to be evaluated before any schema is made.
z.config({ jitless: true });
