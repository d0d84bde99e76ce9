/** What section 4 of the MOVE paper says of its moves; null where its text and tables have no number. */
const notInTheText = 'not in the text';

export const paper = {
  source:
    'MOVE, section 4: table 2 (9.8 MB of state) and figures 5 to 7 (55.9 MB), on a Columbia host, Penn and PlanetLab',
  outageMs: {
    'apache-co-located': 761,
    'apache-remote': 6_632,
    'apache-narrow': notInTheText,
    'apache-narrow-spare': notInTheText,
    'vnc-site-1': notInTheText,
    'vnc-site-2': notInTheText,
    'vnc-site-3': notInTheText,
  },
  vncFigure5: 'bars of 17 to 22 s, read from the drawing; its text has no number',
  lifeline: { roundTripMs: notInTheText, megabytesPerSecond: notInTheText },
} as const;

/** What an outage may be in milliseconds; null where nothing was promised. */
export const bars: Readonly<Record<keyof typeof paper.outageMs, number | null>> = {
  'apache-co-located': 350,
  'apache-remote': 500,
  'apache-narrow': 700,
  'apache-narrow-spare': 700,
  'vnc-site-1': 800,
  'vnc-site-2': 950,
  'vnc-site-3': null,
};
