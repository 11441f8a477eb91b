/** In place of what no panel shows: a code editor that is larger than all the rest. */
export default {};
export const loader = {};
