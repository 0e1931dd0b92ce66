"""Words of the held-out split: none is one of the training split's. Written as in vocabulary_train.py."""

from __future__ import annotations

WORDS = """
role: apprentice ambassador astronomer barber biologist blacksmith broker butcher captain caretaker chemist chef curator
 detective diplomat economist ferryman/ferrymen firefighter forester geologist goldsmith governor historian jeweller
 locksmith magistrate mayor midwife/midwives notary optician paramedic pharmacist philosopher physician pilot sculptor
 sheriff solicitor tailor veterinarian waiter weaver
doc: affidavit almanac appendix/appendices atlas bulletin charter decree dossier essay gazette itinerary lease logbook
 manuscript pamphlet passport patent portfolio prescription prospectus roster synopsis/synopses treaty
 verdict will
doc_verb: annotate certify compile countersign edit enclose endorse fax frame inscribe laminate misplace notarize
 proofread/proofread/proofread
 redact shred+ staple stamp tabulate
device: anvil beacon binoculars/binoculars bulldozer carburettor centrifuge chainsaw clarinet clock dehumidifier
 excavator fountain gyroscope harp hovercraft kettle lawnmower locomotive loom magnetometer oscilloscope periscope
 piano propeller pendulum radiator rudder seismograph sewing_machine snowplough stopwatch submarine syringe theodolite
 treadmill tugboat typewriter violin wheelbarrow windmill winch
device_verb: admire auction borrow demolish disinfect engrave fasten hoist ignite immerse overhaul polish retrofit+
 rinse salvage sharpen sterilize tow tune weld
part: armature baffle bushing cog cleat dowel flange flywheel grommet impeller joist latch mandrel pedal ratchet rivet
 spoke sprocket stirrup throttle
material: bamboo basalt canvas charcoal chalk cork felt flint fibreglass gypsum hemp ivory jute lead limestone mahogany
 mortar obsidian parchment porcelain pewter quartz resin satin tar velvet wax
place: abbey aquarium attic balcony bakery barn barracks/barracks brewery cathedral cellar chapel cloister cottage dock
 embassy fairground fortress gallery granary hangar inn jetty lighthouse lodge mill monastery nursery observatory
 orchard
 palace parlour pavilion pier prison tower vineyard zoo
group: academy alliance battalion brigade cabinet choir clan congress congregation coalition dynasty ensemble garrison
 guild laity orchestra parliament quartet senate squad syndicate tribunal troop
metric: acidity altitude birth_rate bandwidth circulation clarity dividend elasticity erosion fertility latency
 literacy luminosity mileage mortality porosity salinity tariff torque viscosity visibility wattage
up: accelerate escalate intensify rebound strengthen surge swell/swelled/swollen
down: collapse deteriorate dwindle ebb plummet recede subside
process: abolition amendment apprenticeship arbitration burial census coronation debate demolition eclipse embargo
 expedition fermentation hearing hike immunization landing lecture manoeuvre parade pilgrimage procession
 quarantine ransom referendum regatta restoration revolt sermon symposium tournament wedding
adj: abrupt abundant acoustic ancient arctic artificial bitter bleak brilliant calm cautious ceremonial chronic circular
 coarse colossal compulsory crisp crude cunning deaf delicate diligent dim domestic drowsy dull eager eccentric
 elaborate
 elegant enormous faint feeble fierce fragile generous genuine glossy graceful grave gloomy hollow horizontal humble
 idle
 immense innocent intricate jagged jealous juvenile keen lavish legendary liquid lively lonely loyal magnetic marine
 mature mild modest moist mysterious neat nimble notable oblique obscure opaque parallel peculiar polar prolific
 prosperous provincial radiant reluctant remote restless rigid robust rusty sacred scarce shallow sincere slender solemn
 splendid stern stubborn subtle timid tranquil transparent trivial turbulent uneven vague vast vertical vigorous
 vivid weary
adverb: abruptly accordingly annually anxiously arguably awkwardly barely bravely calmly cheaply cordially deliberately
 drastically eagerly elsewhere evidently faintly firmly fondly gladly gracefully happily hastily honestly keenly loosely
 loudly merely narrowly neatly nightly openly patiently politely readily scarcely seldom solely swiftly tacitly wearily
 willingly wisely
abstract: absence ambition ancestry apology attitude belief burden charm clue courage curiosity custom delight
 destiny dignity dilemma doubt dream enthusiasm envy era fame fate fiction freedom friendship glory grief guilt harmony
 honour illusion imagination instinct irony justice legacy legend loyalty luck memory mercy merit myth nostalgia oath
 omen paradox passion patience poverty pride promise prophecy riddle rumour sacrifice scandal secret shame silence
 sorrow
 tradition triumph truth vanity virtue wisdom wonder
abstract_verb: abandon abolish accompany admit+ adopt allege applaud assert assume awaken celebrate cherish condemn
 conceal confess contradict deny deserve dispute echo embody evoke exaggerate forgive/forgave/forgiven haunt imitate
 inherit invoke mock nurture obey obscure oppose overlook overthrow/overthrew/overthrown perceive ponder preserve
 provoke puzzle regret+ resemble resist restore ridicule suspect transcend
food: almond apricot artichoke asparagus/asparagus avocado bacon/bacon barley/barley basil/basil beetroot/beetroot
 broth/broth celery/celery chestnut cider/cider cinnamon/cinnamon cucumber custard/custard dumpling fennel/fennel fig
 ginger/ginger gravy/gravy hazelnut leek lentil lobster mango mustard/mustard nutmeg/nutmeg oat oyster parsley/parsley
 peach pickle plum pumpkin radish raspberry/raspberries sausage turnip
nature: avalanche badger bay beaver blizzard breeze brook canyon cavern cliff crow cypress dune fern fjord hare hawk
 heather hedgehog heron ivy jaguar jellyfish/jellyfish lagoon lizard lynx marsh meteor mist nightingale octopus otter
 peninsula raven reef squirrel stork stream swamp tide tortoise waterfall willow
industry: brewing carpentry catering diplomacy fisheries forestry geology hospitality jewellery journalism justice
 metallurgy opera philosophy quarrying railway sculpture sport weaving whaling
unit: acres hectares furlongs fathoms knots ounces pounds stones pints gallons barrels bushels crates bales dozens
 decades centuries fortnights chapters stanzas soldiers sailors villagers carriages lanterns
"""
FIRST_NAMES = """
Abigail Adrian Agnes Alistair Bartholomew Beatrice Bernard Bridget Cecilia Clement Constance Cornelius Dagmar Desmond
Dorothea Duncan Edith Edmund Eleanor Ernest Esther Eugene Felicity Fergus Florence Gareth Georgina Gideon Gwendolyn
Harriet Hector Hubert Imogen Isidore Jasper Josephine Leopold Lydia Magnus Mathilda Maximilian Minerva Nathaniel Octavia
Oswald Penelope Percival Philippa Quentin Rosalind Rupert Seraphina Sigrid Silas Theodora Tobias Ursula Vivian Winifred
Élodie Günther Joaquín Yusuf Ngozi Takeshi Anjali
"""
LAST_NAMES = """
Abernathy Ainsworth Ashdown Barrowclough Blackwood Bramwell Burgess Carmichael Chamberlain Cholmondeley Cromwell Dalton
Drummond Eastwood Fairbanks Featherstone Fitzgerald Galloway Gladstone Goodfellow Hargreaves Hathaway Hawthorne Holloway
Huntington Ingram Jarvis Kensington Kingsley Langley Lockwood Lovelace Mortimer MacGregor Nightingale Osborne Pemberton
Pickering Quigley Radcliffe Ravenscroft Rutherford Sinclair Somerset Stapleton Thackeray Thornbury Underhill Vandenberg
Wainwright Wetherby Whitaker Winterbottom Yardley Zimmermann Ångström Fernández Papadopoulos Yamamoto Adeyemi Chaudhry
"""
COMPANY_STEMS = """
Acorn Albion Amber Anchor Arrow Birch Brook Bulldog Caledonian Chestnut Clover Cobalt Comet Dragon Dynamo Ember Ferry
Fountain Fox Galaxy Garnet Griffin Hawk Hazel Helix Heron Icon Juniper Lantern Laurel Lunar Magnolia Mercury Mosaic
Nimbus Opal Orchard Osprey Otter Paragon Pearl Pelican Pilgrim Polaris Raven Ridge Robin Saffron Spruce Tempest Thistle
Tundra Umbra Velvet Violet Willow Zenith Zephyr
"""
COMPANY_TRADES = """
Antiques Apparel Aquatics Bicycles Blinds Bricks Cheesemakers Clocks Confectioners Cutlery Diagnostics Distillers
Drapers
Farms Fisheries Florists Footwear Forge Glassworks Haulage Hotels Jewellers Joinery Leasing Leisure Locksmiths Marine
Millers Musical_Instruments Opticians Orchards Pianos Pottery Quarries Robotics Roofing Saddlery Shipping Stationers
Surveyors Tailors Toys Upholstery Veterinary_Clinic Wines
"""
COMPANY_ENDINGS = "Ltd. Inc. LLC plc AG S.A. B.V. Holdings Trust Cooperative & Daughters Associates"
CITIES = """
Aberdeen Adelaide Antwerp Baltimore Bergen Bologna Bordeaux Brighton Brisbane Bucharest Calgary Canterbury Cardiff
Charleston Cincinnati Cologne Coventry Detroit Dresden Durham Edinburgh Exeter Florence Galway Ghent Gothenburg Halifax
Inverness Jakarta Kraków Leicester Limerick Liverpool Louisville Málaga Manila Marseille Milwaukee Minneapolis Naples
Norwich Nottingham Omaha Ottawa Perth Pittsburgh Plymouth Quebec Richmond Rotterdam Sacramento Salzburg Savannah Seville
Sheffield Southampton Spokane Swansea Tampa Tucson Tulsa Turin Utrecht Wellington Winnipeg
"""
COUNTRIES = """
Bolivia Bulgaria Cambodia Chile Colombia Croatia Cuba Ecuador Estonia Ethiopia Ghana Guatemala Hungary Iceland Indonesia
Jamaica Jordan Latvia Lithuania Luxembourg Malaysia Malta Morocco Nepal Paraguay Peru Romania Slovenia Uruguay Vietnam
the_Philippines
"""
STREETS = """
Abbey Arcadia Ashgrove Bay Beech Bishop Bluebell Cannon Canal Castle Clarendon Cobbler Cloister Dock Dogwood Duke Fern
Fountain Friar Granary Harbour Hawthorn Hazel Hickory Ivy Jubilee Kestrel Larch Laurel Magnolia Mulberry Myrtle Nelson
Orchard Palace Pine Poplar Priory Quarry Regent Rosemary Sycamore Tanner Tower Trinity Vine Wellington Weaver
"""
STREET_ENDINGS = "Street St. Road Rd. Avenue Ave Lane Row Gardens Mews Parade Quay Hill Walk Alley Parkway Circle Trail"
REGIONS = "OR NV UT OK KS IA NE ID MT ND SD NM ME VT NH RI CT DE KY LA AR MS WV WY"
DISTRICTS = "AB BA BN CT DE EX GU HR IP KA LE ME NG PE RG SA TR WR"
PRODUCT_ADJECTIVES = """
Antique Artisan Beige Bronze Crispy Crunchy Decaffeinated Embroidered Enamel Flannel Fleece Free-Range Gilded
Gluten-Free
Handmade Hardback Insulated Ivory Knitted Laminated Lightweight Linen Magnetic Marinated Nordic Non-Stick Oak Padded
Pickled Quilted Reversible Rustic Salted Scented Seedless Silk Slim Spicy Striped Sun-Dried Tinned Turquoise Unsalted
Velvet Vegan Woollen Zesty
"""
PRODUCTS = """
Almond_Croissant Alarm_Clock Apron Aquarium Armchair Artichokes Baguette Ballet_Shoes Barbecue_Tongs Bath_Mat Binoculars
Blackberry_Tart Bookcase Bow_Tie Broom Calculator Camping_Stove Candle_Holder Cardigan Chess_Set Chutney Clarinet_Reeds
Colander Compass Cricket_Bat Crumpets Cufflinks Cushion Dartboard Doormat Dumplings Easel Egg_Timer Fishing_Rod Flute
Fruit_Cake Funnel Ginger_Ale Globe Goulash Granola Guitar_Strings Hair_Dryer Hammock Hiking_Poles Ice_Skates Inkwell
Jigsaw_Puzzle Ladle Lantern Lawn_Seed Marmalade Mattress Metronome Mousetrap Muffins Nail_File Napkins Oatmeal Paella
Parsnips Pepper_Mill Pie_Dish Pincushion Pliers Pocket_Watch Quiche Raincoat Risotto Rolling_Pin Rucksack Sandals
Sauerkraut
Sleeping_Bag Spanner Spatula Stapling_Gun Sunglasses Tablecloth Teapot Thermos Tripod Trowel Ukulele Vase Walking_Stick
Whisk Xylophone Yoga_Mat
"""
"""What is sold in shops, restaurants and garages."""
