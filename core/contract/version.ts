/** The version of the product, as package.json says it. */
export const version = '0.1.0';
