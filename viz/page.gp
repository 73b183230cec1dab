# SPDX-License-Identifier: MIT
# page.gp: size, terminal and output of a drawing; variable image is png or svg. Reads page.tsv only.
set encoding utf8
set datafile separator "\t"
set datafile commentschars ""
width = 0; height = 0; panels = 0
stats 'page.tsv' using (width = int(column(1)), height = int(column(2)), panels = int(column(3)), 0) nooutput
# Labels stand in the files twice: for svg, whose reader has fonts of its own, and with only what fonts here can show.
words = image eq 'png' ? 4 : 3
# The svg terminal has no bold without enhanced text.
# pngcairo counts fonts in points of 1/96 inch x 4/3, svg in pixels: 0.75 makes them alike.
if (image eq 'png') {
    set terminal pngcairo noenhanced rounded size width,height font 'sans,14' fontscale 0.75 background rgb 'white'
    set output 'chart.png'
    bold = 'sans:Bold'; dot = 1.3
} else {
    set terminal svg noenhanced rounded size width,height dynamic font 'sans-serif,14' background rgb 'white'
    set output 'chart.svg'
    bold = 'sans-serif'; dot = 0.75
}
set multiplot
