import { decoyMain } from '../../../core/sites/decoy/decoy-main.ts';

// What an agent starts as `agent decoy`, without the rest of it.
process.exit(await decoyMain());
